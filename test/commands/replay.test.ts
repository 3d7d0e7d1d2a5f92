import { spawnSync } from 'node:child_process'
import { mkdir, readdir, readFile, rm, rmdir, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { openDeadLettersBeside } from '../../src/buffers/embedded/dead-letters.ts'
import { openEmbeddedReplay } from '../../src/buffers/embedded/replay.ts'
import { main } from '../../src/commands/main.ts'
import { bar } from '../../src/commands/replay-progress.ts'
import { replay } from '../../src/commands/replay.ts'
import { readRequest, type ReplayOptions } from '../../src/commands/replay-request.ts'
import { loadConfig } from '../../src/config/load.ts'
import { FatalError } from '../../src/pipeline/errors.ts'
import { Pace } from '../../src/pipeline/pace.ts'
import { ReplayPositions } from '../../src/pipeline/replay-positions.ts'
import { deadLetterOf, fingerprintsOf, numbered, openShares, unitOf } from '../contract/buffer-units.ts'
import { openBuffer, temporaryFolder } from '../pipeline/support.ts'
import { VirtualClock } from '../support/virtual-clock.ts'
import { printedBy } from './support.ts'

const START = Date.UTC(2026, 10, 20, 12)
const MINUTE_MS = 60_000

/** Refuses every event with an odd number, and fails on the first shipment that holds any. */
const FUSSY = `export const createSink = (_options, { eventsOf }) => {
  let failed = false
  return {
    maxShipmentsInFlight: 1,
    ship: ({ reject }) => async (batches) => {
      for await (const batch of batches) {
        let index = 0
        for (const event of eventsOf(batch)) {
          if (Number(JSON.parse(Buffer.from(event).toString()).n) % 2 === 1) reject(batch, index, 'odd')
          index += 1
        }
      }
      if (!failed) { failed = true; throw new Error('once') }
    },
    check: async () => undefined,
    close: async () => undefined,
  }
}
`

/** A collector's folder; the buffer stays open, as a running collector has it. */
async function setUp(outputs: Record<string, unknown> = {}, givenDir?: string) {
  const dir = givenDir ?? (await temporaryFolder())
  const config = join(dir, 'config.json')
  const content = {
    globals: { id: '1', name: 'test', persistence: { type: 'filesystem', config: { directory_name: dir } } },
    outputs: { one: { type: 'file', config: { path: join(dir, 'one.ndjson') } }, ...outputs },
    inputs: { tap: { type: 'proofpoint_tap', id: '12345', credentials: { username: 'u', password: 'p' }, services: { clicksBlocked: {} } } },
  }
  await writeFile(config, JSON.stringify(content))
  await writeFile(join(dir, 'fussy.mjs'), FUSSY)
  const buffer = await openBuffer(dir)
  await openShares(buffer, Object.keys(content.outputs).map((name) => ({ name, startFrom: 'now' })))
  const told = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
  onTestFinished(() => told.mockRestore())
  const run = (options: Partial<ReplayOptions> = {}) =>
    printedBy(() => replay({ config, from: START, to: START + 60 * MINUTE_MS, service: [], output: [], by: 'pull-time', ...options }))
  const byLine = (...args: readonly string[]): Promise<number> => main(['replay', '--config', config, ...args])
  return { dir, buffer, run, main: byLine, told: () => told.mock.calls.flat().join(''), sentTo: (name: string) => readFile(join(dir, `${name}.ndjson`), 'utf8').catch(() => '') }
}

async function writeOutputs(dir: string, names: readonly string[]): Promise<string> {
  const file = join(dir, 'config.json')
  const outputs = Object.fromEntries(names.map((name) => [name, { type: 'console' }]))
  const inputs = { tap: { type: 'proofpoint_tap', id: '12345', credentials: { username: 'u', password: 'p' }, services: { clicksBlocked: {} } } }
  await writeFile(file, JSON.stringify({ globals: { id: '1', name: 'test', persistence: { type: 'filesystem', config: { directory_name: dir } } }, outputs, inputs }))
  return file
}

test('from is inclusive and to is not; a service of an input that is gone can be named', async () => {
  const { buffer, run, sentTo } = await setUp()
  for (let n = 0; n < 4; n += 1) await buffer.append(unitOf({ chunks: [numbered(n, 1)], pulledAt: START + n * MINUTE_MS }))
  await buffer.append(unitOf({ chunks: [numbered(7, 1)], pulledAt: START + MINUTE_MS, inputId: '99999', service: 'messagesBlocked' }))
  const { code, text } = await run({ from: START + MINUTE_MS, to: START + 3 * MINUTE_MS })
  expect(code).toBe(0)
  expect(text).toBe('OUTPUT  SERVICE                SENT  REFUSED\none     tap/clicksBlocked      2     0\none     99999/messagesBlocked  1     0\n')
  expect((await sentTo('one')).match(/"n":\d/g)?.toSorted()).toEqual(['"n":1', '"n":2', '"n":7'])
  expect((await run({ service: ['messagesBlocked'] })).text).toContain('one     99999/messagesBlocked  1     0\n')
})

test('event times are those of clicks and messages, and an event without any has that of its pull', async () => {
  const { buffer, run, sentTo } = await setUp()
  const at = (minute: number): string => new Date(START + minute * MINUTE_MS).toISOString()
  const events = [`{"n":1,"clickTime":"${at(1)}"}`, `{"n":2,"messageTime":"${at(2)}"}`, `{"n":3,"messageTime":"${at(3)}"}`, '{"n":4}', '{"n":5,"clickTime":"soon"}', `{"n":6,"clickTime":"${at(9)}"}`]
  await buffer.append(unitOf({ chunks: [events], pulledAt: START + 2 * MINUTE_MS }))
  await buffer.append(unitOf({ chunks: [['{"n":7}']], pulledAt: START + 5 * MINUTE_MS }))
  expect((await run({ by: 'event-time', from: START + 2 * MINUTE_MS, to: START + 3 * MINUTE_MS })).code).toBe(0)
  expect((await sentTo('one')).match(/"n":\d/g)).toEqual(['"n":2', '"n":4', '"n":5'])
})

test('what is kept of a replay stays small with many outputs, and still tells one request from another', async () => {
  const names = Array.from({ length: 60 }, (_, index) => `an output with a long name, ${index}`)
  const dir = await temporaryFolder()
  const { config } = await loadConfig({ file: await writeOutputs(dir, names), env: {}, now: START, checkCertificates: false })
  const options: ReplayOptions = { from: START, to: START + MINUTE_MS, service: [], output: [], by: 'pull-time' }
  const [all, most] = [readRequest(options, config, START + MINUTE_MS), readRequest({ ...options, output: names.slice(1) }, config, START + MINUTE_MS)]
  expect(all.text.length).toBeLessThan(700)
  expect(most.text).not.toBe(all.text)
})

test("an output's services and transforms apply; what it refuses is kept as dead letters and counted, once", async () => {
  const { dir, buffer, run } = await setUp({
    fussy: { type: './fussy.mjs', services: ['clicksBlocked'], transforms: [{ filter: { drop: { field: '/n', equals: 0 } } }] },
  })
  await buffer.append(unitOf({ chunks: [numbered(0, 5), numbered(5, 5)], pulledAt: START }))
  await buffer.append(unitOf({ service: 'messagesBlocked', chunks: [numbered(0, 3)], pulledAt: START }))
  const dry = await run({ dryRun: true })
  expect(dry.text).toContain('fussy   tap/clicksBlocked    9              0\n')
  expect(dry.text).toContain('one     tap/messagesBlocked  3              0\n')
  const { code, text } = await run({ output: ['fussy'] })
  expect(code).toBe(0)
  expect(text).toBe('OUTPUT  SERVICE            SENT  REFUSED\nfussy   tap/clicksBlocked  4     5\n5 events refused for good; they are kept as dead letters\n')
  const { outputs } = await buffer.snapshot()
  expect(outputs.map(({ name, deadLetters, backlogEvents }) => [name, deadLetters, backlogEvents])).toEqual([['fussy', 5, 13], ['one', 0, 13]])
  expect(await readFile(join(dir, 'one.ndjson'), 'utf8').catch(() => 'none')).toBe('none')
})

test('what cannot be meant is said at once, all of it', async () => {
  const { buffer, run, main, told } = await setUp()
  expect(await main('--from', '2026-11-20')).toBe(2)
  expect(told()).toContain("required option '--to <time>'")
  for (const [args, message] of [
    [['--from', 'yesterday', '--to', '2026-11-21'], 'expected a UTC time'],
    [['--from', '2026-11-21', '--to', '2026-11-20'], '--to: must be later than --from, 2026-11-21T00:00:00Z, but found 2026-11-20T00:00:00Z'],
    [['--from', '2926-11-21', '--to', '2926-11-22'], '--from: lies in the future'],
    [['--from', '2026-11-20', '--to', '2026-11-21', '--rate', '0'], 'at least 1'],
    [['--from', '2026-11-20', '--to', '2026-11-21', '--by', 'hand'], 'pull-time, event-time'],
    [['--from', '2026-11-20', '--to', '2026-11-21', '--output', 'nowhere', '--service', 'clicks'], '--service: expected one of clicksBlocked, '],
    [['--from', '2026-11-20', '--to', '2026-11-21', '--output', 'nowhere', '--service', 'clicks'], '--output: expected one that is configured and on: one, but found nowhere'],
    [['--from', '2026-11-20', '--to', '2026-11-21', '--service', 'other/clicksBlocked'], 'but found other/clicksBlocked'],
    [['--from', '2026-11-20', '--to', '2026-11-21', '--resume', '01234567', '--dry-run'], '--dry-run: does not go with --resume'],
    [['--from', '2026-11-20', '--to', '2026-11-21'], 'the buffer holds no events'],
  ] as const) {
    expect(await main(...args), message).toBe(2)
    expect(told()).toContain(message)
  }
  await buffer.append(unitOf({ chunks: [numbered(0, 1)], pulledAt: START }))
  await expect(run({ from: START - 1_000, to: START })).rejects.toThrow('the buffer holds only what was pulled since 2026-11-20T12:00:00Z')
  await expect(run({ resume: '01234567' })).rejects.toThrow('no replay with this id was interrupted here')
  await expect(run({ resume: '../01234567' })).rejects.toThrow('no replay with this id was interrupted here')
})

test('a dead letter of a part of a batch is the right event', async () => {
  const { dir, buffer, run } = await setUp({ fussy: { type: './fussy.mjs' } })
  const timed = (n: number, minute: number): string => `{"n":${n},"clickTime":"${new Date(START + minute * MINUTE_MS).toISOString()}"}`
  await buffer.append(unitOf({ chunks: [[timed(1, 90), timed(2, 1), timed(3, 2), timed(4, 90)]], pulledAt: START }))
  expect((await run({ by: 'event-time', output: ['fussy'] })).text).toContain('fussy   tap/clicksBlocked  1     1\n')
  const letters = openDeadLettersBeside(dir)
  onTestFinished(() => letters.close())
  const kept = []
  for await (const { event, fingerprint } of letters.read()) kept.push([Buffer.from(event).toString(), Buffer.from(fingerprint).toString('hex')])
  expect(kept).toEqual([[timed(3, 2), Buffer.from(fingerprintsOf([timed(3, 2)])).toString('hex')]])
})

test('dead letters are kept once, though the place cannot be saved at first', async () => {
  const { dir, buffer } = await setUp()
  await buffer.append(unitOf({ chunks: [numbered(0, 5)], pulledAt: START }))
  const store = openEmbeddedReplay({ dir, maxSizeBytes: 1e9, pulled: { from: START, to: START + 1 } })
  if (store === null) throw new Error('the buffer is there')
  onTestFinished(() => store.close())
  const positions = new ReplayPositions({ store, id: '00000001', request: 'r', outputs: ['one'] })
  await positions.begin()
  const letters = [deadLetterOf('{"n":0}', 'one')]
  await mkdir(join(dir, 'replay-00000001.json.unfinished'))
  await expect(positions.commit('one', store.end, letters)).rejects.toThrow()
  expect(positions.isDone('one')).toBe(false)
  await rmdir(join(dir, 'replay-00000001.json.unfinished'))
  await positions.commit('one', store.end, letters)
  expect(positions.refusedBy('one').total).toBe(1)
  expect((await buffer.snapshot()).outputs).toMatchObject([{ deadLetters: 1 }])
})

test('on a full disk nothing is sent, and it is said that the command has ended', async ({ skip }) => {
  const full = await temporaryFolder()
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', full]).status !== 0) skip('SKIPPED: a file system cannot be mounted here, which a full disk needs')
  onTestFinished(() => void spawnSync('umount', ['-l', full]))
  const { dir, buffer, run, told, sentTo } = await setUp({}, full)
  await buffer.append(unitOf({ chunks: [numbered(0, 5)], pulledAt: START }))
  const { bavail, bsize } = await statfs(dir)
  await writeFile(join(dir, 'ballast'), Buffer.alloc(bavail * bsize))
  expect((await run()).code).toBe(1)
  expect(told()).toMatch(/^DiskFull \[CODE:0502\] Nothing was sent: writing \S+replay-[0-9a-f]{8}\.json: the disk is full; free some space there(?!.*goes on by itself)/)
  expect(await sentTo('one')).toBe('')
  await rm(join(dir, 'ballast'))
  expect((await run()).code).toBe(0)
  expect((await sentTo('one')).match(/\n/g)).toHaveLength(5)
})

test('an output that cannot be made leaves nothing behind to resume', async () => {
  const { dir, buffer, run } = await setUp({ gone: { type: './gone.mjs' } })
  await buffer.append(unitOf({ chunks: [numbered(0, 5)], pulledAt: START }))
  await expect(run()).rejects.toThrow(/gone\.mjs/)
  expect((await readdir(dir)).filter((name) => name.startsWith('replay-'))).toEqual([])
})

test('a process that was believed to be dead ends when it finds that another goes on with its replay', async () => {
  const { dir, buffer } = await setUp()
  await buffer.append(unitOf({ chunks: [numbered(0, 5)], pulledAt: START }))
  const store = openEmbeddedReplay({ dir, maxSizeBytes: 1e9, pulled: { from: START, to: START + 1 } })
  if (store === null) throw new Error('the buffer is there')
  onTestFinished(() => store.close())
  const options = { store, id: '00000001', request: 'r', outputs: ['one'] }
  const [old, newer] = [new ReplayPositions(options), new ReplayPositions(options)]
  await old.begin()
  await old.commit('one', '0+2', [])
  await newer.begin()
  await expect(old.commit('one', '0+3', [])).rejects.toThrow('another process goes on with the replay 00000001')
  await newer.commit('one', store.end, [])
  expect(newer.isDone('one')).toBe(true)
  await newer.forget()
  await expect(old.commit('one', '0+3', [])).rejects.toThrow(FatalError)
})

test('a pace lets so many events pass in a second, whoever asks', async () => {
  const clock = new VirtualClock(0)
  const pace = new Pace(100, clock)
  const { signal } = new AbortController()
  const at: number[] = []
  const take = async (events: number): Promise<void> => {
    await pace.take(events, signal)
    at.push(clock.monotonic())
  }
  const all = Promise.all([take(10), take(20), take(10), take(1)])
  await clock.advance(5_000)
  await all
  expect(at).toEqual([0, 100, 300, 400])
  const late = take(5)
  await clock.advance(0)
  await late
  const afterwards = take(1)
  await clock.advance(1_000)
  await afterwards
  expect(at.slice(-2)).toEqual([5_000, 5_050])
})

test('the bar is as far as the slowest output and never wraps', () => {
  const line = bar([{ output: 'a', fraction: 1, sent: 10, waitsFor: null }, { output: 'b', fraction: 0.5, sent: 5, waitsFor: 'no\u001b[2Jbody is there' }], 200)
  expect(line).toBe('[############............]  50 %  a 10 sent  b 5 sent (waits: no [2Jbody is there)')
  expect(bar([{ output: 'a'.repeat(300), fraction: 1, sent: 10, waitsFor: null }], 80)).toHaveLength(79)
})
