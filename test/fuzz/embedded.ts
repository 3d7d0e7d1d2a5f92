import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { pino } from 'pino'
import { openEmbeddedBuffer } from '../../src/buffers/embedded/embedded.ts'
import { readSnapshot } from '../../src/buffers/embedded/reader.ts'
import type { EventBuffer } from '../../src/pipeline/buffer.ts'
import { systemClock } from '../../src/pipeline/clock.ts'
import { FatalError, RetryableError } from '../../src/pipeline/errors.ts'
import type { Unit } from '../../src/pipeline/unit.ts'
import { deadLetterOf, fingerprintsOf, HOUR_MS, INPUT, padded, readShipment, SERVICE, unitOf } from '../contract/buffer-units.ts'
import { mutate, mutations, type Mutation } from './mutate.ts'
import { assert, assertTold, target, type FuzzTarget } from './target.ts'

const UNITS = 6
const PER_UNIT = 60
const PAGE = 16_384
const SILENT = pino({ level: 'silent' })

/** Unit n moves the mark to n + 1, and its events say n. */
function unit(n: number): Unit {
  const events = padded(n * PER_UNIT, PER_UNIT, 300)
  return unitOf({
    chunks: [events.slice(0, PER_UNIT / 2), events.slice(PER_UNIT / 2)],
    deadLetters: [deadLetterOf(`{"dead":${n}}`, null)],
    pulledAt: 1_795_000_000_000,
    environment: 'prod',
    position: { settled: n + 1, readAt: n + 1, holes: [{ from: 0, to: n + 1, since: 3, triedAt: 4, reason: 'x' }], seen: { window: { from: n, to: n + 1 }, fingerprints: fingerprintsOf([`${n}`]) } },
  })
}

const eventsUpTo = (settled: number): string[] => Array.from({ length: settled }, (_, n) => padded(n * PER_UNIT, PER_UNIT, 300)).flat()

function openIn(dir: string): Promise<EventBuffer> {
  return openEmbeddedBuffer({ dir, retentionMs: HOUR_MS, maxSizeBytes: 2 ** 28, clock: systemClock, log: SILENT, inThread: false })
}

/** A buffer that was closed well, and one whose process was killed: most of that one is in its log. */
const files = { closed: Buffer.alloc(0), killed: Buffer.alloc(0), log: Buffer.alloc(0) }
let root = ''

async function makeFiles(): Promise<void> {
  root = mkdtempSync(join(tmpdir(), 'tap-fuzz-'))
  const dir = join(root, 'good')
  const buffer = await openIn(dir)
  await buffer.openOutputs([{ name: 'devo', startFrom: 'now' }])
  await buffer.count('siem', 29_916_666, 0)
  for (let n = 0; n < UNITS; n += 1) await buffer.append(unit(n))
  for (const name of ['buffer.db', 'buffer.db-wal']) copyFileSync(join(dir, name), join(root, name))
  files.killed = readFileSync(join(root, 'buffer.db'))
  files.log = readFileSync(join(root, 'buffer.db-wal'))
  await buffer.close()
  files.closed = readFileSync(join(dir, 'buffer.db'))
}

interface Damage {
  readonly what: 'closed' | 'killed' | 'log'
  /** The page is overwritten with another one's content, or changed within. */
  readonly page: number
  readonly other: number | null
  readonly changes: readonly Mutation[]
}

/** A page in another's place, bytes within one page, or any change: most of them cut or move all that is behind. */
function damaged(bytes: Buffer, { page, other, changes }: Damage): Buffer {
  const pages = Math.max(1, Math.floor(bytes.length / PAGE))
  const at = (page % pages) * PAGE
  if (other !== null) {
    const from = (other % pages) * PAGE
    return Buffer.concat([bytes.subarray(0, at), bytes.subarray(from, from + PAGE), bytes.subarray(at + PAGE)])
  }
  if (page % 4 === 0) return mutate(bytes, changes)
  const changed = mutate(bytes.subarray(at, at + PAGE), changes)
  return Buffer.concat([bytes.subarray(0, at), changed.length < PAGE ? Buffer.concat([changed, Buffer.alloc(PAGE - changed.length)]) : changed.subarray(0, PAGE), bytes.subarray(at + PAGE)])
}

const file = target({
  name: 'the file of the embedded buffer, or its log, damaged anywhere',
  runs: 12,
  bounds: { cpuMs: 5_000 },
  cases: fc.record({ what: fc.constantFrom('closed', 'closed', 'closed', 'killed', 'log'), page: fc.nat(1_000), other: fc.option(fc.nat(1_000), { freq: 5 }), changes: fc.oneof(mutations(), mutations({ kinds: ['flip', 'set'] })) }),
  begin: makeFiles,
  end: () => rmSync(root, { recursive: true }),
  async check(damage: Damage) {
    const dir = mkdtempSync(join(root, 'case-'))
    try {
      const path = join(dir, 'buffer.db')
      writeFileSync(path, damage.what === 'closed' ? damaged(files.closed, damage) : damage.what === 'killed' ? damaged(files.killed, damage) : files.killed)
      if (damage.what !== 'closed') writeFileSync(`${path}-wal`, damage.what === 'log' ? damaged(files.log, damage) : files.log)
      await checkFolder(dir, damage.what === 'log')
    } finally {
      rmSync(dir, { recursive: true })
    }
  },
})

/** It is refused, or all that is read is as it was written; a damaged log may end before a unit, with all of what belongs to that unit. */
async function checkFolder(dir: string, mayEndEarlier: boolean): Promise<void> {
  let buffer: EventBuffer | null = null
  try {
    buffer = await openIn(dir)
    const state = await buffer.loadService(INPUT, SERVICE)
    const settled = state?.settled ?? 0
    assert(mayEndEarlier ? settled >= 0 && settled <= UNITS : settled === UNITS, () => `the mark is ${settled}`)
    const { outputs, sourceDeadLetters } = await buffer.snapshot()
    if (outputs.length === 0 && mayEndEarlier && settled === 0) return
    const { events, batches } = await readShipment(buffer, 'devo', '0')
    assert(events.join('\n') === eventsUpTo(settled).join('\n'), () => `${events.length} events, which are not those up to the mark ${settled}`)
    for (const { inputId, service, pulledAt, environment } of batches) {
      assert(`${inputId} ${service} ${pulledAt} ${environment ?? ''}` === `${INPUT} ${SERVICE} 1795000000000 prod`, () => `events under another name: ${inputId} ${service} ${pulledAt} ${environment ?? ''}`)
    }
    assert(state === null || (state.readAt === settled && state.holes.length === 1 && state.holes[0]?.to === settled), () => `another position: ${JSON.stringify(state?.holes)}`)
    // Rows of a page that is gone make events come twice, and lose none.
    assert((state?.seen ?? []).every(({ fingerprints }) => fingerprints.length % 16 === 0), () => 'half a fingerprint was taken')
    // An output that is gone begins anew, with the first event that is there.
    assert(outputs.every(({ backlogEvents }) => backlogEvents === events.length) && sourceDeadLetters <= settled, () => `the outputs are ${JSON.stringify(outputs)}, with ${sourceDeadLetters} dead letters`)
  } catch (error) {
    assertTold(error, [FatalError, RetryableError])
  } finally {
    await buffer?.close()
  }
  if (existsSync(join(dir, 'buffer.db'))) await readSnapshot(dir).catch((error: unknown) => assertTold(error, [FatalError, RetryableError]))
}

export const embeddedTargets: readonly FuzzTarget[] = [file]
