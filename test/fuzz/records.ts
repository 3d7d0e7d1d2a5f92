import fc from 'fast-check'
import { batchesOf, type Undecodable } from '../../src/buffers/kafka/batches.ts'
import { decodeDeadLetter, encodeDeadLetter } from '../../src/buffers/kafka/dead-letter.ts'
import { UndecodableRecordError } from '../../src/buffers/kafka/single-object.ts'
import { decodeTapEvent, tapEventCodec, tapEventDecoder, tapEventEncoder } from '../../src/buffers/kafka/tap-event.ts'
import { countEvents, eventsOf } from '../../src/pipeline/event.ts'
import { encodeLines, linePrefix } from '../../src/sinks/line.ts'
import { deadLetterOf } from '../contract/buffer-units.ts'
import { mutate, mutations, type Mutation } from './mutate.ts'
import { assert, assertTold, target, type FuzzTarget } from './target.ts'

const WINDOW = { from: 1_795_000_000_000, to: 1_795_003_600_000 }

interface Pulled {
  readonly service: string
  readonly pulledAt: number
  readonly environment: string | null
  readonly events: readonly string[]
}

const pulled: fc.Arbitrary<Pulled> = fc.record({
  service: fc.constantFrom('clicksBlocked', 'messagesDelivered'),
  pulledAt: fc.constantFrom(0, 1_795_003_700_123),
  environment: fc.option(fc.constantFrom('prod', 'é€😀')),
  events: fc.array(fc.constantFrom('{}', '{"n":1}', `{"subject":"${'x'.repeat(300)}"}`, '{"@devo_environment":"x","n":2}'), { minLength: 1, maxLength: 5 }),
})

function encoded({ service, pulledAt, environment, events }: Pulled): Buffer[] {
  const encode = tapEventEncoder({ inputId: '12345', service, pulledAt, environment }, WINDOW)
  return events.map((event, index) => encode(new Uint8Array(16).fill(index), Buffer.from(event)))
}

/** A record's text, and what it is read as: the same, whoever was read before. */
function readWith(decode: (record: Buffer) => unknown, record: Buffer): string {
  try {
    return JSON.stringify(decode(record))
  } catch (error) {
    assertTold(error, [UndecodableRecordError])
    return 'undecodable'
  }
}

const oneRecord = target({
  name: 'a record of an event that is changed',
  runs: 3_000,
  cases: fc.record({ pulls: fc.array(pulled, { minLength: 1, maxLength: 3 }), chosen: fc.nat(), changes: mutations({ words: ['\n', '"@devo_pulling_id"', '\xc3\x01'] }) }),
  check({ pulls, chosen, changes }: { pulls: readonly Pulled[]; chosen: number; changes: readonly Mutation[] }) {
    const good = pulls.flatMap(encoded)
    const at = chosen % good.length
    const records = good.map((record, index) => (index === at ? mutate(record, changes) : record))
    const oneAfterTheOther = tapEventDecoder(tapEventCodec)
    records.forEach((record, index) => {
      const [known, alone] = [readWith(oneAfterTheOther, record), readWith(tapEventDecoder(tapEventCodec), record)]
      assert(known === alone, () => `record ${index} is read as ${known} behind the others, as ${alone} alone`)
      if (index !== at) assert(alone !== 'undecodable', () => `record ${index} is good and was not read`)
    })
    checkDelivery(records, good, at)
  },
})

/** The records as an output reads them: all good ones go on their wire in their order, and what is none is told. */
function checkDelivery(records: readonly Buffer[], good: readonly Buffer[], at: number): void {
  const told: Undecodable[] = []
  const page = {
    partition: 0, nextOffset: records.length, highWatermark: records.length, lastStableOffset: records.length,
    records: records.map((value, offset) => ({ offset, timestamp: 0, key: null, value, headers: [] })),
  }
  const lines: string[] = []
  for (const { batch } of batchesOf(page, records.length, () => ({ events: 100, bytes: 1_000_000 }), (record) => told.push(record))) {
    if (batch === null) continue
    const events = [...eventsOf(batch)]
    assert(events.length === countEvents(batch), () => `${events.length} lines with ${countEvents(batch)} fingerprints`)
    lines.push(...events.map((event) => Buffer.from(event).toString()))
    const wire = encodeLines(batch, linePrefix(batch.pulledAt, 'host', 'tag')).toString()
    assert(wire.split('\n').length === events.length + 1, () => `${events.length} events became the lines ${wire}`)
  }
  for (const { error } of told) assertTold(error, [UndecodableRecordError])
  assert(lines.length + told.length === records.length, () => `${records.length} records, but ${lines.length} events and ${told.length} that were told`)
  const others = good.filter((_, index) => index !== at).map((record) => Buffer.from(decodeTapEvent(record).event).toString())
  const rest = [...lines]
  for (const other of others) assert(rest.includes(other) && rest.splice(rest.indexOf(other), 1).length === 1, () => `the good event ${other} was not read`)
}

const deadLetter = target({
  name: 'a record of a dead letter that is changed',
  runs: 1_500,
  cases: fc.record({ output: fc.option(fc.constantFrom('devo_1')), changes: mutations() }),
  check({ output, changes }: { output: string | null; changes: readonly Mutation[] }) {
    readWith(decodeDeadLetter, mutate(encodeDeadLetter(deadLetterOf('{"n":1}', output), WINDOW), changes))
  },
})

/** What lies in the topics of events and of dead letters. */
export const recordTargets: readonly FuzzTarget[] = [oneRecord, deadLetter]
