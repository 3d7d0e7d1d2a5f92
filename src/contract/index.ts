/** The suites that sinks and transforms of your own must pass, and what they need to be made in a test. */
import { hostname } from 'node:os'
import { pino } from 'pino'
import { systemClock } from '../pipeline/clock.ts'
import { toolsFor, type SinkTools } from '../plug-ins/tools.ts'

export { batchesOf, batchOf } from './batches.ts'
export type { Runner } from './runner.ts'
export { shipAll, sinkContract, type DestinationFault, type SinkHarness } from './sink.ts'
export { transformContract } from './transform.ts'

/** What `createSink` and `createTransform` are given beside their options; the log goes nowhere. */
export function testTools(): SinkTools {
  return toolsFor({ name: 'own', clock: systemClock, log: pino({ level: 'silent' }), hostName: hostname(), tagOf: () => 'my.app.test.events' })
}
