import { randomUUID } from 'node:crypto'
import { readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { describeKafka, sharedBroker } from '../support/kafka.ts'
import { parseLine } from './arrivals.ts'
import { makeWorld, MINUTE_MS, type ConfigFile, type World } from './world.ts'

const FULL = { missing: [], surplus: [] }

interface StatusReport {
  readonly services: readonly { readonly service: string; readonly settled: string }[]
  readonly outputs: readonly { readonly output: string; readonly backlog_events: number; readonly missed_events: number }[]
  readonly pools: readonly { readonly used: number }[]
}

async function onKafka(): Promise<(config: ConfigFile) => void> {
  const buffer = { type: 'kafka', config: { brokers: await sharedBroker(), topic_prefix: `e${randomUUID()}`, partitions: 3 } }
  return (config) => {
    config.buffer = buffer
  }
}

function onEmbedded(config: ConfigFile): void {
  config.buffer = { type: 'embedded' }
}

function switched(isOn: boolean): (config: ConfigFile) => void {
  return ({ outputs }) => Object.assign(outputs.devo_1 ?? {}, { enabled: isOn })
}

/** A world with a second output, whose receiver is another world's. */
async function makeTwoOutputs(): Promise<{ world: World; other: World }> {
  const world = await makeWorld({ perHour: 300, traffic: { until: Date.now() - 2 * MINUTE_MS } })
  const other = await makeWorld({ perHour: 0 })
  await world.configure(({ outputs }) => {
    const config = { ...outputs.devo_1?.config, port: other.receiver.port }
    for (const [key, name] of [['chain', 'chain.crt'], ['cert', 'me.crt'], ['key', 'me.key']] as const) Object.assign(config, { [key]: join(other.dir, 'certs', name) })
    outputs.devo_2 = { type: 'devo_platform', config }
  })
  return { world, other }
}

/** Within the look-back: without the fingerprints they would come again. */
function addNew(world: World, service: 'clicksBlocked' | 'messagesBlocked', count: number, what: string): void {
  const createdAt = Date.now() - 100_000
  world.add(...Array.from({ length: count }, (_, n) => ({ service, createdAt: createdAt + n, content: { id: `${what} ${n}` } })))
}

async function statusOf(world: World): Promise<StatusReport> {
  const { code, stdout, stderr } = await world.run(['status', '--json'])
  expect(code, stderr).toBe(0)
  return JSON.parse(stdout) as StatusReport // written by status.ts
}

function textsOf({ lines }: World): string[] {
  return lines.map((line) => parseLine(line).text).sort()
}

describeKafka('from the embedded buffer to Kafka', () => {
  // The broker of the run may have to start first.
  beforeAll(async () => {
    await sharedBroker()
  })

  test('a restart carries everything over: each event comes once at each output, and none again that was seen', { timeout: 90_000 }, async () => {
    const { world, other } = await makeTwoOutputs()
    // The second output is down from the beginning; the first has everything, and is off then.
    other.receiver.refuseConnections()
    addNew(world, 'clicksBlocked', 40, 'early')
    const collector = world.start(['run'])
    await world.allArrive(Date.now() - MINUTE_MS)
    expect(await collector.stop()).toMatchObject({ code: 0 })
    const early = world.arrivals.total
    expect(early).toBeGreaterThan(1_000)
    await world.configure(switched(false))
    addNew(world, 'messagesBlocked', 30, 'late')
    const next = world.start(['run'])
    await next.logged('events generated and sent: 30;')
    expect(await next.stop()).toMatchObject({ code: 0 })
    const before = await statusOf(world)
    expect(before.outputs).toMatchObject([{ output: 'devo_2', backlog_events: early + 30 }, { output: 'devo_1', backlog_events: 30 }])

    await world.configure(await onKafka())
    // Before the start the commands tell what is in the file, and leave it alone.
    await other.receiver.acceptConnections()
    await world.configure(switched(true))
    const validated = await world.run(['validate', '--connect'])
    expect(validated.stdout).toContain('buffer.db: moved to Kafka at the next start')
    expect(validated.stdout).toContain('ok       input proofpoint_tap')
    expect(validated.code).toBe(0)
    const waiting = await world.run(['status', '--json'])
    expect(waiting.stderr).toContain('is not moved to Kafka yet')
    expect((JSON.parse(waiting.stdout) as StatusReport).services).toMatchObject(before.services.map(({ service, settled }) => ({ service, settled })))
    expect(readdirSync(world.stateDir)).not.toContain('kafka-buffer.json')

    const { code, stdout } = await world.run(['run', '--once'])
    expect(code, stdout).toBe(0)
    expect(stdout).toContain(`Moved ${early + 30} events, 4 services and 2 outputs to Kafka`)
    expect(world.compare()).toMatchObject(FULL)
    expect(textsOf(other)).toEqual(textsOf(world))
    const after = await statusOf(world)
    expect(after.outputs).toMatchObject([{ output: 'devo_1', backlog_events: 0, missed_events: 0 }, { output: 'devo_2', backlog_events: 0, missed_events: 0 }])
    for (const [index, { settled }] of before.services.entries()) expect(after.services[index]?.settled.localeCompare(settled)).toBeGreaterThanOrEqual(0)
    for (const [index, { used }] of before.pools.entries()) expect(after.pools[index]?.used).toBeGreaterThan(used)
    expect(readdirSync(world.stateDir)).toEqual(expect.arrayContaining(['buffer.db.moved', 'kafka-buffer.json']))
    expect(readdirSync(world.stateDir)).not.toContain('buffer.db')
  })

  test('nothing is forgotten in silence, in whatever order somebody goes about it', { timeout: 90_000 }, async () => {
    const world = await makeWorld({ perHour: 60, traffic: { until: Date.now() - 2 * MINUTE_MS } })
    const kafka = await onKafka()
    const collector = world.start(['run'])
    await world.allArrive(Date.now() - 2 * MINUTE_MS)
    await world.configure(kafka)
    const beside = await world.run(['run', '--once'])
    expect([beside.code, beside.stdout]).toEqual([1, expect.stringContaining(`in use by process ${collector.pid}`)])
    expect(await collector.stop()).toMatchObject({ code: 0 })
    expect(await world.run(['run', '--once'])).toMatchObject({ code: 0 })

    await world.configure(onEmbedded)
    const forgetful = await world.run(['run', '--once'])
    expect([forgetful.code, forgetful.stdout]).toEqual([1, expect.stringContaining('tap-collector move --from OLD_CONFIG')])
    expect(await world.run(['validate'])).toMatchObject({ code: 2, stderr: expect.stringContaining('in Kafka, topic_prefix') as unknown })
    expect(await world.run(['status'])).toMatchObject({ code: 3, stderr: expect.stringContaining('in Kafka, topic_prefix') as unknown })
    const [db, moved] = ['buffer.db', 'buffer.db.moved'].map((name) => join(world.stateDir, name))
    renameSync(moved ?? '', db ?? '')
    const putBack = await world.run(['run', '--once'])
    expect([putBack.code, putBack.stdout]).toEqual([1, expect.stringContaining('was moved to Kafka')])

    // Whoever removes the pointer has read what it means.
    rmSync(join(world.stateDir, 'kafka-buffer.json'))
    expect(await world.run(['run', '--once'])).toMatchObject({ code: 0 })
    await world.configure(kafka)
    const again = await world.run(['run', '--once'])
    expect([again.code, again.stdout]).toEqual([1, expect.stringMatching(/topic_prefix .* is in use .*has changed since.*Use another topic_prefix/)])
    expect(await world.run(['validate', '--connect'])).toMatchObject({ code: 3, stdout: expect.stringMatching(/failed {3}buffer kafka: .* is in use/) as unknown })
    expect(world.compare()).toMatchObject(FULL)
  })
})
