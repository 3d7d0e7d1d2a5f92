import { randomUUID } from 'node:crypto'
import { copyFile, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { HOUR_MS, makeWorld, MINUTE_MS, writeTime, type World } from '../e2e/world.ts'
import { describeKafka, sharedBroker } from '../support/kafka.ts'

const until = Date.now() - 2 * MINUTE_MS
const SPAN = ['--from', writeTime(Date.now() - 24 * HOUR_MS), '--to', writeTime(Date.now() + HOUR_MS)]

beforeEach(() => {
  // The collector inherits it: what is private is so by its own mode.
  const usual = process.umask(0)
  onTestFinished(() => void process.umask(usual))
})

/** Without a state folder, which the collector makes. */
async function makeFolderless(perHour: number): Promise<World> {
  const world = await makeWorld({ perHour, traffic: { until } })
  await rm(world.stateDir, { recursive: true, force: true })
  return world
}

/** The names of all that is in the state folder, each of which nobody but its owner may read. */
async function privateFilesOf({ stateDir }: World): Promise<string[]> {
  const entries = [{ path: stateDir, isFolder: true }, ...(await readdir(stateDir, { recursive: true, withFileTypes: true })).map((entry) => ({ path: join(entry.parentPath, entry.name), isFolder: entry.isDirectory() }))]
  for (const { path, isFolder } of entries) {
    // One that has been removed meanwhile says nothing.
    const found = await stat(path).catch(() => null)
    if (found !== null) expect((found.mode & 0o777).toString(8), path).toBe(isFolder ? '700' : '600')
  }
  return entries.slice(1).map(({ path }) => path.slice(stateDir.length + 1)).toSorted()
}

describe('only the owner may read what is in state/', () => {
  test('while the collector runs, after it, and with a replay that was interrupted', async () => {
    const world = await makeFolderless(400)
    const collector = world.start(['run'])
    await world.allArrive(until)
    expect(await privateFilesOf(world)).toEqual(expect.arrayContaining(['buffer.db', 'buffer.db-shm', 'buffer.db-wal', 'buffer.lock', 'buffer.lock.json']))
    const delivered = world.lines.length
    const replay = world.start(['replay', ...SPAN, '--rate', '100'])
    await world.receiver.until(() => world.lines.length > delivered + 20)
    await privateFilesOf(world)
    await replay.stop('SIGINT')
    expect((await privateFilesOf(world)).filter((name) => name.startsWith('replay-'))).not.toEqual([])
    await collector.stop()
    expect(await privateFilesOf(world)).toContain('buffer.db')
  })
})

describeKafka('with Kafka', () => {
  test('also on the way from one buffer to the other and back, and while it replays', { timeout: 60_000 }, async () => {
    const world = await makeFolderless(200)
    const brokers = await sharedBroker()
    const onKafka = async () => world.configure((config) => (config.buffer = { type: 'kafka', config: { brokers, topic_prefix: `m${randomUUID()}`, partitions: 1 } }))
    const succeed = async (args: readonly string[]) => {
      const { code, stdout, stderr } = await world.run(args)
      expect(code, `${args.join(' ')}\n${stdout}${stderr}`).toBe(0)
      return privateFilesOf(world)
    }
    await onKafka()
    await succeed(['run', '--once'])
    await succeed(['replay', ...SPAN])
    const old = join(world.dir, 'config', 'old.yaml')
    await copyFile(world.configPath, old)
    await world.configure((config) => (config.buffer = { type: 'embedded' }))
    expect(await succeed(['move', '--from', old, '--yes'])).toContain('buffer.db')
    expect(await succeed(['run', '--once'])).toContain('buffer.db')
    await onKafka()
    // What tells that the buffer is in Kafka now, and what it was.
    expect(await succeed(['run', '--once'])).not.toEqual([])
  })
})
