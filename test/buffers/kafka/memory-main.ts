/**
 * A collector's delivering half in a process of its own. Appends 200 MB, delivers to an output whose receiver takes nothing, then lets the
 * receiver take everything; tells how its memory grew.
 */
import { pino } from 'pino'
import { openKafkaBuffer } from '../../../src/buffers/kafka/kafka.ts'
import { systemClock } from '../../../src/pipeline/clock.ts'
import { Conditions } from '../../../src/pipeline/conditions.ts'
import { Counters } from '../../../src/pipeline/counters.ts'
import { countEvents, releaseBytes, type Batch } from '../../../src/pipeline/event.ts'
import { supervise } from '../../../src/pipeline/supervisor.ts'
import { UNIT_MAX_BYTES } from '../../../src/pipeline/unit.ts'
import { chunkOf, padded, unitOf } from '../../contract/buffer-units.ts'

const [prefix, ...brokers] = process.argv.slice(2)
if (prefix === undefined) throw new Error('give a prefix and the brokers')
const UNITS = 50
const IN_FLIGHT = 4

const log = pino({ level: 'silent' })
const buffer = await openKafkaBuffer({
  connection: { brokers, ssl: false, sasl: null }, prefix, partitions: 8, replicationFactor: null, retentionMs: 3_600_000, compression: 'none',
  createTopics: true, clock: systemClock, log,
})
const ownership = await buffer.ownInputs(new AbortController().signal)
const template = chunkOf(padded(0, 100, 2_185))
const chunksInUnit = Math.floor(UNIT_MAX_BYTES / template.lines.length)
const appended = UNITS * chunksInUnit * 100
for (let unit = 0; unit < UNITS; unit += 1) {
  const chunks = Array.from({ length: chunksInUnit }, (_, index) => {
    const fingerprints = template.fingerprints.slice()
    fingerprints[0] = index
    return { lines: template.lines.slice(), fingerprints }
  })
  await buffer.append({ ...unitOf(), chunks })
}
await ownership.release()

const rss: number[] = []
const sample = (): void => void rss.push(process.memoryUsage.rss())
const stop = new AbortController()
const taken = Promise.withResolvers<undefined>()
let begun = 0
let delivered = 0
// One shipment could hold it all; its receiver takes one batch, and no second one until what the buffer reads ahead has had time to come.
const running = supervise({
  sources: [],
  outputs: [{
    name: 'a', transforms: [], shipmentsInFlight: IN_FLIGHT, maxShipmentEvents: Infinity, maxShipmentBytes: Infinity, startFrom: 'oldest',
    sink: {
      maxShipmentsInFlight: IN_FLIGHT,
      ship: () => async (batches: AsyncIterable<Batch>) => {
        for await (const batch of batches) {
          begun += 1
          sample()
          if (begun === 1) await taken.promise
          delivered += countEvents(batch)
          releaseBytes(batch)
        }
        if (delivered >= appended) stop.abort(new Error('all is delivered'))
      },
      check: async () => undefined,
      close: async () => undefined,
    },
  }],
  buffer, clock: systemClock, log, conditions: new Conditions(() => 0), counters: new Counters(), stop: stop.signal, once: false,
})
const first = process.memoryUsage.rss()
const stuck = setInterval(sample, 50)
await systemClock.sleep(2_000)
const held = Math.max(...rss)
taken.resolve(undefined)
await running
clearInterval(stuck)
await buffer.close()
process.stdout.write(`${JSON.stringify({ appended, delivered, first, held, peak: Math.max(...rss) })}\n`)
