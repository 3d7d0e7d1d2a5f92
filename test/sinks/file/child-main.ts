/** A process of its own that ships one shipment after the other to the path given, says which are delivered, and goes on until it is killed. */
import { systemClock } from '../../../src/pipeline/clock.ts'
import { createFileSink } from '../../../src/sinks/file/sink.ts'
import { batchesOf } from '../../contract/batches.ts'
import { shipAll } from '../../contract/sink-suite.ts'

const [path = '', gzip, name = ''] = process.argv.slice(2)
const sink = createFileSink({ path, rotateBytes: 3_000_000, gzip: gzip === 'gzip' }, { clock: systemClock })
await sink.check(new AbortController().signal).catch((error: unknown) => console.error(`check: ${String(error)}`))
console.log('ready')
try {
  for (let round = 0; ; round += 1) {
    await shipAll(sink, batchesOf(`${name}.${round}`, 3000, 100, 500).batches)
    console.log(`delivered ${name}.${round}`)
  }
} catch (error) {
  console.error(`shipment: ${String(error)}`)
}
