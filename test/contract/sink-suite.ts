import { afterEach, beforeEach, describe, test } from 'vitest'
import { sinkContract as contract, type SinkHarness } from '../../src/contract/sink.ts'

export { shipAll, type DestinationFault, type SinkHarness } from '../../src/contract/sink.ts'

/** The contract of sinks as tests of this runner. */
export function sinkContract(name: string, makeHarness: () => Promise<SinkHarness>, faultNames: readonly string[]): void {
  contract(name, makeHarness, faultNames, { describe, test, beforeEach, afterEach })
}
