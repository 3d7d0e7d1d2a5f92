/**
 * A collector's buffer in a process of its own. `hold` opens it and waits to be killed; `retry` also sends dead letters again; `append` writes units without end, unit n with
 * settled n and events that say n; `memory` carries 100 MB through and tells how its memory grew.
 */
import { pino } from 'pino'
import { openDeadLettersBeside } from '../../../src/buffers/embedded/dead-letters.ts'
import { openEmbeddedBuffer } from '../../../src/buffers/embedded/embedded.ts'
import { systemClock } from '../../../src/pipeline/clock.ts'
import type { Batch } from '../../../src/pipeline/event.ts'
import { FINGERPRINT_BYTES } from '../../../src/pipeline/event.ts'
import { UNIT_MAX_BYTES } from '../../../src/pipeline/unit.ts'
import { chunkOf, deadLetterOf, INPUT, numbered, openRead, padded, SERVICE, unitOf } from '../../contract/buffer-units.ts'

const [role, dir] = process.argv.slice(2)
if (dir === undefined) throw new Error('give a role and a folder')

const say = (line: string): boolean => process.stdout.write(`${line}\n`)
const buffer = await openEmbeddedBuffer({ dir, retentionMs: 3_600_000, maxSizeBytes: 2 ** 30, clock: systemClock, log: pino({ level: 'silent' }) })
  .catch((error: unknown) => {
    process.stderr.write(String(error))
    process.exit(1)
  })
await buffer.openOutputs([{ name: 'devo', startFrom: 'now' }])

if (role === 'retry') {
  await openDeadLettersBeside(dir).claimRetries()
  say('ready')
} else if (role === 'hold') {
  await buffer.append(unitOf({ chunks: [numbered(0, 3)] }))
  say('ready')
} else if (role === 'append') {
  say('ready')
  for (let n = (await buffer.loadService(INPUT, SERVICE))?.settled ?? 0; ; n += 1) {
    const events = Array.from({ length: 1 + (n % 5) }, (_, chunk) => padded(n * 1000 + chunk * 100, 20, 1000))
    await buffer.append(
      unitOf({ chunks: events, deadLetters: [deadLetterOf(`{"dead":${n}}`, null)], position: { settled: n + 1, gaps: [{ from: n, to: n + 1, recordedAt: 0, reason: 'x' }] } }),
    )
    say(`appended ${n + 1}`)
  }
} else if (role === 'memory') {
  say('ready')
  const rss: number[] = []
  const template = chunkOf(padded(0, 100, 2185))
  const chunksInUnit = Math.floor(UNIT_MAX_BYTES / template.lines.length)
  for (let unit = 0; unit < 25; unit += 1) {
    const chunks = Array.from({ length: chunksInUnit }, () => ({ lines: template.lines.slice(), fingerprints: template.fingerprints.slice() }))
    await buffer.append({ ...unitOf(), chunks })
    rss.push(process.memoryUsage.rss())
  }
  let events = 0
  for await (const batch of openRead(buffer, 'devo', '0')) {
    // A BatchStream carries batches; their bytes are dropped once written, as sinks do.
    const { lines, fingerprints } = batch as Batch
    events += fingerprints.length / FINGERPRINT_BYTES
    for (const { buffer: bytes } of [lines, fingerprints]) if (bytes instanceof ArrayBuffer) bytes.transfer(0)
    if (events % 1000 === 0) rss.push(process.memoryUsage.rss())
  }
  say(JSON.stringify({ events, first: rss[0], peak: Math.max(...rss) }))
  await buffer.close()
}
