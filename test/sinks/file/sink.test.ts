import { execFileSync, spawn } from 'node:child_process'
import { appendFileSync, chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, renameSync, rmSync, statfsSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { RetryableError } from '../../../src/pipeline/errors.ts'
import type { Batch } from '../../../src/pipeline/event.ts'
import type { Sink } from '../../../src/pipeline/sink.ts'
import { batchesOf, batchOf } from '../../contract/batches.ts'
import { shipAll } from '../../contract/sink-suite.ts'
import { idsOf, linesIn, linesOf, mountIsAllowed, sinkOf, temporaryFolder, tinyDisk } from './support.ts'

const MAIN = new URL('./child-main.ts', import.meta.url).pathname
const never = new AbortController().signal
const at = (time: string, ids: readonly string[]): Batch => batchOf(ids.map((id) => JSON.stringify({ id })), { pulledAt: Date.parse(time) })
const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8)

/** What is done to the files of a folder from now on, in order; what a disk without power would keep, no other test can tell. */
async function watchFiles(dir: string): Promise<string[]> {
  const done: string[] = []
  const handle = await open(dir)
  // Of all handles.
  const methods = Object.getPrototypeOf(handle) as FileHandle // its class is not exported
  await handle.close()
  for (const name of ['write', 'sync'] as const) {
    const real = Reflect.get(methods, name) as (...args: unknown[]) => unknown // both are methods
    vi.spyOn(methods, name).mockImplementation(function (this: FileHandle, ...args: unknown[]) {
      done.push(`${name} ${relative(dir, readlinkSync(`/proc/self/fd/${this.fd}`))}`)
      return Reflect.apply(real, this, args) as never // of the one that is called
    })
  }
  onTestFinished(() => void vi.restoreAllMocks())
  return done
}

/** A shipment that breaks off behind these batches. */
async function fail(sink: Sink, batches: readonly Batch[]): Promise<void> {
  async function* cut(): AsyncGenerator<Batch> {
    yield* batches
    throw new Error('broken off')
  }
  const delivery = sink.ship({ signal: never, reject: () => undefined })
  await expect(typeof delivery === 'function' ? pipeline(cut(), delivery) : pipeline(cut(), delivery)).rejects.toThrow('broken off')
}

describe('a file', () => {
  test('has the event as Proofpoint sent it with the pull, a line each, in folders that are made', async () => {
    const dir = temporaryFolder()
    const path = join(dir, 'a/b/tap.ndjson')
    await shipAll(sinkOf(path), [batchOf(['{"a":0.0,"b":12345678901234567890}', '{}'], { environment: 'prod' })])
    expect(readFileSync(path, 'utf8')).toBe(
      '{"a":0.0,"b":12345678901234567890,"@devo_pulling_id":"1700000000123","@devo_environment":"prod"}\n{"@devo_pulling_id":"1700000000123","@devo_environment":"prod"}\n',
    )
    expect([modeOf(join(dir, 'a')), modeOf(join(dir, 'a/b')), modeOf(path)]).toEqual(['700', '700', '640'])
  })

  test.each([false, true])('is on the disk when it counts as delivered, and so are the names that lead there: gzip %s', async (gzip) => {
    const dir = temporaryFolder()
    const done = await watchFiles(dir)
    const sink = sinkOf(join(dir, 'new/tap'), { gzip, rotateBytes: 3_000 })
    await shipAll(sink, batchesOf('a', 60, 10, 100).batches)
    const files = readdirSync(join(dir, 'new')).map((name) => `new/${name}`)
    expect(files.length).toBeGreaterThan(gzip ? 0 : 1)
    for (const path of files) expect(done.lastIndexOf(`sync ${path}`)).toBeGreaterThan(done.lastIndexOf(`write ${path}`))
    for (const folder of ['', 'new']) expect(done).toContain(`sync ${folder}`)
    await shipAll(sink, batchesOf('b', 1).batches)
    const last = done.findLast((call) => call.startsWith('write '))?.slice('write '.length) ?? ''
    expect(done.lastIndexOf(`sync ${last}`)).toBeGreaterThan(done.lastIndexOf(`write ${last}`))
  })

  test('is named by the time of the pull, in UTC; what is there is never overwritten', async () => {
    const dir = temporaryFolder()
    const sink = sinkOf(join(dir, '%Y-%m-%d/tap.%H.100%%.ndjson'))
    const batches = [at('2026-11-20T23:59:59.999Z', ['a']), at('2026-11-21T00:00:00Z', ['b']), at('2026-11-20T23:00:00Z', ['c'])]
    await shipAll(sink, batches)
    await shipAll(sink, [at('2026-11-21T00:10:00Z', ['d'])])
    expect(idsOf(linesOf(join(dir, '2026-11-20/tap.23.100%.ndjson')))).toEqual(['a', 'c'])
    expect(idsOf(linesOf(join(dir, '2026-11-21/tap.00.100%.ndjson')))).toEqual(['b', 'd'])
  })

  test('of more hours than are open at once: each has its events, and a failure takes all of them back', async () => {
    const dir = temporaryFolder()
    const hours = Array.from({ length: 20 }, (_, hour) => at(new Date(Date.UTC(2026, 10, 20, hour % 12)).toISOString(), [`${hour}`]))
    for (const gzip of [false, true]) {
      const sink = sinkOf(join(dir, `${gzip}-%H.ndjson${gzip ? '.gz' : ''}`), { gzip })
      await fail(sink, hours)
      await sink.close()
      expect(readdirSync(dir).filter((name) => name.startsWith(`${gzip}`))).toEqual([])
      const again = sinkOf(join(dir, `${gzip}-%H.ndjson${gzip ? '.gz' : ''}`), { gzip })
      await shipAll(again, hours)
      await fail(again, hours)
      await again.close()
    }
    expect(idsOf(linesIn(dir)).sort()).toEqual([...hours, ...hours].map((_, index) => `${index % 20}`).sort())
    expect(readdirSync(dir)).toHaveLength(24)
  })

  test.each([[false, 'tap.ndjson', ['tap.1.ndjson', 'tap.2.ndjson', 'tap.3.ndjson', 'tap.ndjson']], [true, '2026.11.20.gz', ['2026.11.20.1.gz', '2026.11.20.2.gz', '2026.11.20.3.gz', '2026.11.20.gz']]])(
    'with gzip %s, that is large enough is followed by the next number; a restart goes on with the last', async (gzip, name, names) => {
      const dir = temporaryFolder()
      const one = (id: string): Batch[] => [batchOf([JSON.stringify({ id, text: Array.from({ length: 400 }, () => Math.random()).join() })])]
      for (const id of ['a', 'b', 'c']) await shipAll(sinkOf(join(dir, name), { gzip, rotateBytes: 2000 }), one(id))
      const sink = sinkOf(join(dir, name), { gzip, rotateBytes: 2000 })
      await fail(sink, one('never'))
      await shipAll(sink, one('d'))
      await shipAll(sinkOf(join(dir, name), { gzip, rotateBytes: null }), one('e'))
      expect(readdirSync(dir).sort()).toEqual(names)
      expect(names.map((file) => idsOf(linesOf(join(dir, file))))).toEqual([['b'], ['c'], ['d', 'e'], ['a']])
    },
  )

  test('that logrotate has moved or emptied is begun anew, and what it took stays as it is', async () => {
    const dir = temporaryFolder()
    const path = join(dir, 'tap.ndjson')
    const sink = sinkOf(path)
    await shipAll(sink, [at('2026-11-20T00:00:00Z', ['a'])])
    renameSync(path, join(dir, 'moved'))
    await shipAll(sink, [at('2026-11-20T00:00:00Z', ['b'])])
    await fail(sink, [at('2026-11-20T00:00:00Z', ['never'])])
    truncateSync(path)
    await shipAll(sink, [at('2026-11-20T00:00:00Z', ['c'])])
    expect([idsOf(linesOf(path)), idsOf(linesOf(join(dir, 'moved')))]).toEqual([['c'], ['a']])
  })

  test('to which another program writes at the same time is told, and nothing of the other is cut off', async () => {
    const path = join(temporaryFolder(), 'tap.ndjson')
    const other = { written: 0 }
    const sink = sinkOf(path)
    function* beside(): Generator<Batch> {
      for (const batch of batchesOf('a', 400).batches) {
        if (existsSync(path) && other.written < 3) appendFileSync(path, `{"id":"other-${(other.written += 1)}"}\n`)
        yield batch
      }
    }
    await expect(shipAll(sink, beside())).rejects.toThrow(/another program writes to .*tap\.ndjson/)
    await shipAll(sink, batchesOf('b', 10).batches)
    const ids = idsOf(linesOf(path))
    expect(ids.filter((id) => id.startsWith('other'))).toHaveLength(other.written)
    expect(ids.slice(-10)).toEqual(batchesOf('b', 10).ids)
  })

  test.each([false, true])('gzip %s: a shipment that is given up at its end, however late, is delivered or leaves nothing', async (gzip) => {
    const dir = temporaryFolder()
    const outcomes = new Set<string>()
    for (let turns = 0; turns < 40; turns += 1) {
      const path = join(dir, `${turns}${gzip ? '.gz' : ''}`)
      const abort = new AbortController()
      const sink = sinkOf(path, { gzip })
      const giveUp = async function* (): AsyncGenerator<Batch> {
        yield at('2026-11-20T00:00:00Z', ['a'])
        void (async () => {
          for (let turn = 0; turn < turns; turn += 1) await new Promise((resolve) => setImmediate(resolve))
          abort.abort(new Error('given up'))
        })()
      }
      const delivery = sink.ship({ signal: abort.signal, reject: () => undefined })
      const outcome = await (typeof delivery === 'function' ? pipeline(giveUp(), delivery) : pipeline(giveUp(), delivery)).then(() => 'delivered', () => 'failed')
      await sink.close()
      outcomes.add(outcome)
      expect(existsSync(path) ? idsOf(linesOf(path)) : []).toEqual(outcome === 'delivered' ? ['a'] : [])
    }
    expect(outcomes).toContain('failed')
  })

  test('with a large shipment needs no more memory than with a small one', async () => {
    const dir = temporaryFolder()
    const batch = batchOf(Array.from({ length: 100 }, (_, index) => JSON.stringify({ id: `${index}`, text: 'x'.repeat(2000) })))
    const peak = async (gzip: boolean, count: number): Promise<number> => {
      let most = 0
      function* endless(): Generator<Batch> {
        for (let index = 0; index < count; index += 1) {
          most = Math.max(most, process.memoryUsage.rss())
          yield batch
        }
      }
      await shipAll(sinkOf(join(dir, `tap-${count}`), { gzip }), endless())
      return most
    }
    for (const gzip of [false, true]) {
      const small = await peak(gzip, 100)
      expect(await peak(gzip, 600)).toBeLessThan(small + 64 * 2 ** 20)
      rmSync(join(dir, 'tap-100'))
      rmSync(join(dir, 'tap-600'))
    }
  })
})

describe.each([[false, 'tap.ndjson'], [true, 'tap.ndjson.gz']] as const)('gzip %s: what a kill has left', (gzip, name) => {
  test('at any byte is cut back to whole events at the next start', async () => {
    const dir = temporaryFolder()
    const path = join(dir, name)
    await shipAll(sinkOf(path, { gzip }), batchesOf('a', 3, 3, 20).batches)
    const first = readFileSync(path)
    await shipAll(sinkOf(path, { gzip }), batchesOf('b', 3, 3, 20).batches)
    const whole = readFileSync(path)
    for (let length = first.length; length < whole.length; length += 1) {
      writeFileSync(path, whole.subarray(0, length))
      await shipAll(sinkOf(path, { gzip }), batchesOf('c', 1).batches)
      const ids = idsOf(linesOf(path))
      // Whole lines of a plain file stay: whether they are of an earlier shipment nobody knows.
      const kept = gzip ? 0 : whole.subarray(first.length, length).toString().split('\n').length - 1
      expect(ids).toEqual(['a-0', 'a-1', 'a-2', ...['b-0', 'b-1', 'b-2'].slice(0, kept), 'c-0'])
    }
    for (const length of [1, 5, 28, first.length - 1]) {
      writeFileSync(path, first.subarray(0, length))
      await shipAll(sinkOf(path, { gzip }), batchesOf('c', 1).batches)
      expect(idsOf(linesOf(path)).at(-1)).toBe('c-0')
    }
  })

  test('is found at the end of a large file', async () => {
    const dir = temporaryFolder()
    const path = join(dir, name)
    await shipAll(sinkOf(path, { gzip }), [batchOf([JSON.stringify({ id: 'a', text: Buffer.from(Array.from({ length: 300_000 }, () => Math.random() * 256)).toString('hex') })])])
    const { size } = statSync(path)
    expect(size).toBeGreaterThan(200_000)
    appendFileSync(path, readFileSync(path).subarray(0, size - 1))
    await shipAll(sinkOf(path, { gzip }), batchesOf('c', 1).batches)
    expect(idsOf(linesOf(path))).toEqual(['a', 'c-0'])
  })

  test('is not taken for what another program has written: that stays, and is told', async () => {
    const path = join(temporaryFolder(), name)
    const foreign = ['half a line', 'a line\n', '{"a":1}\nhalf a line', Buffer.alloc(100), ...(gzip ? ['{"a":1}\n'] : [Buffer.from([0x1f, 0x8b, 8])])]
    for (const content of foreign) {
      writeFileSync(path, content)
      await expect(shipAll(sinkOf(path, { gzip }), batchesOf('a', 1).batches)).rejects.toThrow(/holds something else than .*move it away, or change the path/)
      expect(readFileSync(path)).toEqual(Buffer.from(content))
    }
  })

  test('is not looked for by a check, which may run beside a collector', async () => {
    const path = join(temporaryFolder(), name)
    writeFileSync(path, '{"a":')
    await sinkOf(path, { gzip }).check(never)
    expect(readFileSync(path, 'utf8')).toBe('{"a":')
  })
})

test('a gzip member whose bytes are all there and damaged is cut off too', async () => {
  const path = join(temporaryFolder(), 'tap.ndjson.gz')
  await shipAll(sinkOf(path, { gzip: true }), batchesOf('a', 1).batches)
  const first = readFileSync(path)
  await shipAll(sinkOf(path, { gzip: true }), batchesOf('b', 1).batches)
  const whole = readFileSync(path)
  for (const at of [first.length + 35, whole.length - 8, whole.length - 1]) {
    const damaged = Buffer.from(whole)
    damaged.writeUInt8(damaged.readUInt8(at) ^ 1, at)
    writeFileSync(path, damaged)
    await shipAll(sinkOf(path, { gzip: true }), batchesOf('c', 1).batches)
    expect(idsOf(linesOf(path))).toEqual(['a-0', 'c-0'])
  }
})

describe('a path that cannot be written is a clear error, by check and by a shipment', () => {
  const refused = async (path: string, message: RegExp): Promise<void> => {
    for (const attempt of [() => sinkOf(path).check(never), () => shipAll(sinkOf(path), batchesOf('a', 1).batches)]) {
      const error: unknown = await attempt().then(() => null, (reason: unknown) => reason)
      expect(error).toBeInstanceOf(RetryableError)
      expect(String(error)).toMatch(message)
    }
  }

  test('a folder, a link, a device, a named pipe, a file in the place of a folder', async () => {
    const dir = temporaryFolder()
    mkdirSync(join(dir, 'folder'))
    symlinkSync(join(dir, 'elsewhere'), join(dir, 'link'))
    writeFileSync(join(dir, 'file'), '')
    execFileSync('mkfifo', [join(dir, 'pipe')])
    await refused(join(dir, 'folder'), /folder is a folder, and must be a file/)
    await refused(join(dir, 'link'), /link is a symbolic link, which is not followed/)
    await refused('/dev/null', /\/dev\/null is no regular file/)
    await refused(join(dir, 'pipe'), /pipe is no regular file/)
    await refused(join(dir, 'file/tap.ndjson'), /file/)
    await refused(join(dir, 'file/below/tap.ndjson'), /a folder of .* is a file|is a file, and must be a folder/)
    expect(existsSync(join(dir, 'elsewhere'))).toBe(false)
  })

  test('folders may be links', async () => {
    const dir = temporaryFolder()
    mkdirSync(join(dir, 'real'))
    symlinkSync(join(dir, 'real'), join(dir, 'link'))
    await shipAll(sinkOf(join(dir, 'link/tap.ndjson')), batchesOf('a', 1).batches)
    expect(idsOf(linesOf(join(dir, 'real/tap.ndjson')))).toEqual(['a-0'])
  })

  test('no right to write', async () => {
    const dir = temporaryFolder()
    const own = join(dir, 'own')
    mkdirSync(own)
    chmodSync(dir, 0o755)
    chmodSync(own, 0o555)
    for (const path of [join(own, 'tap.ndjson'), join(own, 'below/tap.ndjson')]) {
      // Root may write everywhere, and so becomes nobody.
      const child = spawn(process.execPath, [MAIN, path, 'plain', 'a'], { stdio: ['ignore', 'ignore', 'pipe'], ...(process.getuid?.() === 0 && { uid: 65_534, gid: 65_534 }) })
      const said = await text(child.stderr)
      expect(said).toMatch(/check: RetryableError: this user may not write /)
      expect(said).toMatch(/shipment: RetryableError: this user may not write /)
    }
  })
})

describe.skipIf(!mountIsAllowed())('a real disk', () => {
  function disk(): string {
    const path = join(temporaryFolder(), 'disk')
    mkdirSync(path)
    tinyDisk(path, 2)
    onTestFinished(() => void execFileSync('umount', ['-l', path]))
    return path
  }

  test.each([[false, 'tap.ndjson'], [true, 'tap.ndjson.gz']] as const)('gzip %s: full, it fails and is taken back; with room again it goes on', async (gzip, name) => {
    const dir = disk()
    const path = join(dir, name)
    const sink = sinkOf(path, { gzip })
    const noise = (id: string): Batch => batchOf([JSON.stringify({ id, text: Buffer.from(Array.from({ length: 50_000 }, () => Math.random() * 256)).toString('hex') })])
    await shipAll(sink, [noise('a')])
    const before = readFileSync(path)
    const ballast = join(dir, 'ballast')
    const { bavail, bsize } = statfsSync(dir)
    writeFileSync(ballast, Buffer.alloc(bavail * bsize - 300_000))
    const large = Array.from({ length: 10 }, (_, index) => noise(`${index}`))
    for (let round = 0; round < 2; round += 1) {
      const error: unknown = await shipAll(sink, large).then(() => null, (reason: unknown) => reason)
      expect(error).toBeInstanceOf(RetryableError)
      expect(String(error)).toContain(`the disk of ${path} is full; free some space there`)
    }
    rmSync(ballast)
    await shipAll(sink, large)
    expect(readFileSync(path).subarray(0, before.length)).toEqual(before)
    expect(idsOf(linesOf(path))).toEqual(['a', ...Array.from({ length: 10 }, (_, index) => `${index}`)])
  })

  test('read-only, it says so', async () => {
    const dir = disk()
    const path = join(dir, 'tap.ndjson')
    const sink = sinkOf(path)
    await shipAll(sink, batchesOf('a', 1).batches)
    execFileSync('mount', ['-o', 'remount,ro', dir])
    for (const attempt of [() => sink.check(never), () => shipAll(sink, batchesOf('b', 1).batches)])
      await expect(attempt()).rejects.toThrow(/is read-only; make it writable/)
    execFileSync('mount', ['-o', 'remount,rw', dir])
    await shipAll(sink, batchesOf('b', 1).batches)
    expect(idsOf(linesOf(path))).toEqual(['a-0', 'b-0'])
  })
})
