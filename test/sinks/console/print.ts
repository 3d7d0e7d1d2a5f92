/** A process of its own that ships so many events to its standard output, and says on standard error how that went. */
import { createConsoleSink } from '../../../src/sinks/console/sink.ts'
import { batchesOf } from '../../contract/batches.ts'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

const sink = createConsoleSink({ format: 'ndjson' }, { name: 'console', hostName: 'h', tagOf: () => 'my.app.a.b' })
const { batches } = batchesOf('a', Number(process.argv[2]), 100)
try {
  await pipeline(Readable.from(batches), sink.ship({ signal: new AbortController().signal, reject: () => undefined }))
  console.error('delivered')
} catch (error) {
  console.error(`failed: ${error instanceof Error ? error.message : String(error)}`)
}
await sink.close()
