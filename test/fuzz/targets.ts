import { kafkaAnswerTargets } from './kafka-answers.ts'
import { recordTargets } from './records.ts'
import { responseTargets } from './responses.ts'
import { stateTargets } from './state.ts'
import type { FuzzTarget } from './target.ts'

export const fuzzTargets: readonly FuzzTarget[] = [...responseTargets, ...recordTargets, ...stateTargets, ...kafkaAnswerTargets]
