import { readdir } from 'node:fs/promises'
import { beforeAll, expect, test } from 'vitest'
import { clientOf, makeKafkaWorld } from '../chaos/kafka-world.ts'
import { describeKafka, sharedBroker } from '../support/kafka.ts'
import { parseLine } from './arrivals.ts'
import { HOUR_MS, makeWorld, MINUTE_MS, readableUntil, writeTime, type World, type WorldOptions } from './world.ts'

/** Traffic that ends, so that what is sent again can be told from what is new. */
const FINITE: WorldOptions = { perHour: 400, traffic: { until: Date.now() - MINUTE_MS } }

/** Around all that a test pulls. */
const SPAN = ['--from', writeTime(Date.now() - 24 * HOUR_MS), '--to', writeTime(Date.now() + HOUR_MS)]

/** What a replay said it sent, by service. */
function sentOf(stdout: string): Record<string, number> {
  const rows = [...stdout.matchAll(/^devo_1 +proofpoint_tap\/(\w+) +(\d+) +0$/gm)]
  return Object.fromEntries(rows.map(([, service = '', sent = '']) => [service, Number(sent)]))
}

function countBy(lines: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const line of lines) counts[parseLine(line).service] = (counts[parseLine(line).service] ?? 0) + 1
  return counts
}

const replayFiles = async (world: World): Promise<string[]> => (await readdir(world.stateDir)).filter((name) => name.startsWith('replay-'))
const idOf = (resumeLine: string): string => /--resume ([0-9a-f]{8})/.exec(resumeLine)?.[1] ?? ''

/** The lines of a first run, delivered to the end. */
async function delivered(world: World): Promise<readonly string[]> {
  const { code, stdout } = await world.run(['run', '--once'])
  expect(code, stdout).toBe(0)
  expect(world.lines.length).toBeGreaterThan(500)
  return [...world.lines]
}

test('beside a running collector all comes again, byte for byte, and live delivery goes on where it was', async () => {
  const world = await makeWorld(FINITE)
  const collector = world.start(['run'])
  await world.allArrive(readableUntil())
  const before = [...world.lines]
  const { code, stdout, stderr } = await world.run(['replay', ...SPAN])
  expect(code, stderr).toBe(0)
  const replayed = world.lines.slice(before.length)
  expect(replayed.toSorted()).toEqual(before.toSorted())
  expect(sentOf(stdout)).toEqual(countBy(before))
  expect(await replayFiles(world)).toEqual([])
  const from = world.lines.length
  world.supply({ seed: 9, perHour: 3_600, from: Date.now() - 100_000, until: Date.now() - 60_000 })
  await world.receiver.until(() => world.lines.length > from)
  await collector.stop()
  const known = new Set(before.map((line) => parseLine(line).text))
  expect(world.lines.slice(from).filter((line) => known.has(parseLine(line).text))).toEqual([])
})

test('a dry run counts and sends nothing; services choose', async () => {
  const world = await makeWorld(FINITE)
  const before = await delivered(world)
  const dry = await world.run(['replay', ...SPAN, '--dry-run'])
  expect(dry.code, dry.stderr).toBe(0)
  expect(dry.stdout).toContain('WOULD BE SENT')
  expect(sentOf(dry.stdout)).toEqual(countBy(before))
  expect(world.lines.length).toBe(before.length)
  const one = await world.run(['replay', ...SPAN, '--service', 'clicksBlocked', '--service', 'proofpoint_tap/messagesBlocked'])
  expect(one.code, one.stderr).toBe(0)
  const { clicksBlocked, messagesBlocked } = countBy(before)
  expect(countBy(world.lines.slice(before.length))).toEqual({ clicksBlocked, messagesBlocked })
})

test('Ctrl-C ends it with the line that goes on; then everything has come exactly once more', async () => {
  const world = await makeWorld(FINITE)
  const before = await delivered(world)
  const first = world.start(['replay', ...SPAN, '--rate', '300'])
  await world.receiver.until(() => world.lines.length > before.length + 30)
  const { code, stderr } = await first.stop('SIGINT')
  expect(code, stderr).toBe(1)
  expect(stderr).toMatch(/^ReplayInterrupted \[CODE:1211\] Interrupted before all was sent; it goes on where it was with: tap-collector replay --resume [0-9a-f]{8} --from /m)
  const sent = world.lines.length - before.length
  expect(sent).toBeLessThan(before.length)
  const id = idOf(stderr)
  expect(await replayFiles(world)).toEqual([`replay-${id}.json`])
  const other = await world.run(['replay', '--resume', id, ...SPAN, '--service', 'clicksBlocked'])
  expect(other.stderr).toContain('this replay was begun with: --from')
  expect(other.code).toBe(2)
  const second = await world.run(['replay', '--resume', id, ...SPAN])
  expect(second.code, second.stderr).toBe(0)
  expect(world.lines.slice(before.length).toSorted()).toEqual(before.toSorted())
  expect(await replayFiles(world)).toEqual([])
  const over = await world.run(['replay', '--resume', id, ...SPAN])
  expect(over.stderr).toContain('no replay with this id was interrupted here')
  expect(over.code).toBe(2)
})

test('killed it goes on, and only the shipments in flight come twice; an output that is away is waited for', async () => {
  const world = await makeWorld({ ...FINITE, configure: (config) => Object.assign(config.outputs.devo_1 ?? {}, { max_shipment_events: 100 }) })
  const before = await delivered(world)
  const replay = world.start(['replay', ...SPAN, '--rate', '400'])
  const { replay: id } = await replay.logged('begins')
  await world.receiver.until(() => world.lines.length > before.length + 500)
  replay.kill('SIGKILL')
  await replay.ended
  expect(await replayFiles(world)).toEqual([`replay-${String(id)}.json`])
  world.receiver.refuseConnections()
  const resumed = world.start(['replay', '--resume', String(id), ...SPAN])
  await resumed.logged('Output devo_1 is not reachable, trying again')
  expect(await resumed.stop('SIGINT')).toMatchObject({ code: 1, stderr: expect.stringContaining(`--resume ${String(id)}`) as string })
  const last = world.start(['replay', '--resume', String(id), ...SPAN])
  await last.logged('Output devo_1 is not reachable, trying again')
  await world.receiver.acceptConnections()
  const { code, stderr } = await last.end()
  expect(code, stderr).toBe(0)
  const again = world.lines.slice(before.length)
  expect(new Set(again)).toEqual(new Set(before))
  expect(again.length - before.length).toBeLessThanOrEqual(4 * 100 + 100)
})

describeKafka('with the Kafka buffer', () => {
  let brokers: readonly string[]
  beforeAll(async () => {
    brokers = await sharedBroker()
  })

  test('all comes again; interrupted, it goes on where its own group is, which is gone in the end', async () => {
    const world = await makeKafkaWorld({ brokers, perHour: 4_000, traffic: { until: Date.now() - MINUTE_MS } })
    expect((await world.run(['replay', ...SPAN])).stderr).toContain('the buffer holds no events')
    const before = await delivered(world)
    const { code, stdout, stderr } = await world.run(['replay', ...SPAN])
    expect(code, stderr).toBe(0)
    expect(world.lines.slice(before.length).toSorted()).toEqual(before.toSorted())
    expect(sentOf(stdout)).toEqual(countBy(before))

    const from = world.lines.length
    const interrupted = world.start(['replay', ...SPAN, '--rate', '500'])
    await world.receiver.until(() => world.lines.length > from + 50)
    const ended = await interrupted.stop('SIGINT')
    expect(ended.code, ended.stderr).toBe(1)
    expect(world.lines.length - from).toBeLessThan(before.length)
    const resumed = await world.run(['replay', '--resume', idOf(ended.stderr), ...SPAN])
    expect(resumed.code, resumed.stderr).toBe(0)
    expect(world.lines.slice(from).toSorted()).toEqual(before.toSorted())

    const admin = clientOf(brokers).admin()
    await admin.connect()
    try {
      const groups = (await admin.listGroups()).groups.map(({ groupId }) => groupId).filter((group) => group.startsWith(world.prefix))
      expect(groups.filter((group) => group.includes('.replay.'))).toEqual([])
    } finally {
      await admin.disconnect()
    }
    const status = await world.run(['status', '--json'])
    expect(JSON.parse(status.stdout)).toMatchObject({ outputs: [{ output: 'devo_1', backlog_events: 0 }] })
  })
})
