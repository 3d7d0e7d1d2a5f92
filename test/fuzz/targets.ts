import { configTargets } from './config.ts'
import { embeddedTargets } from './embedded.ts'
import { kafkaAnswerTargets } from './kafka-answers.ts'
import { recordTargets } from './records.ts'
import { responseTargets } from './responses.ts'
import { sourceTargets } from './source.ts'
import { stateTargets } from './state.ts'
import type { FuzzTarget } from './target.ts'

export const fuzzTargets: readonly FuzzTarget[] = [
  ...responseTargets, ...sourceTargets, ...configTargets, ...embeddedTargets, ...recordTargets, ...stateTargets, ...kafkaAnswerTargets,
]
