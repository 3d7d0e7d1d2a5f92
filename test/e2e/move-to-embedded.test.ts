import { randomUUID } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pino } from 'pino'
import { describe, expect, test } from 'vitest'
import { decodeTapEvent } from '../../src/buffers/kafka/tap-event.ts'
import { createKafkaClient, type KafkaClient } from '../../src/kafka/client.ts'
import { commitOffsets } from '../../src/kafka/group-offsets.ts'
import { PartitionReader } from '../../src/kafka/partition-reader.ts'
import { describeKafka, sharedBroker } from '../support/kafka.ts'
import { parseLine, type Text } from './arrivals.ts'
import { makeWorld, MINUTE_MS, type ConfigFile, type World } from './world.ts'

const FULL = { missing: [], surplus: [] }
const PARTITIONS = 3

interface StatusReport {
  readonly services: readonly { readonly service: string; readonly settled: string }[]
  readonly outputs: readonly { readonly output: string; readonly backlog_events: number; readonly missed_events: number }[]
  readonly pools: readonly { readonly used: number }[]
}

interface OnKafka {
  readonly client: KafkaClient
  readonly prefix: string
  configure(config: ConfigFile): void
}

async function onKafka(): Promise<OnKafka> {
  const brokers = await sharedBroker()
  const prefix = `e${randomUUID()}`
  return {
    client: createKafkaClient({ brokers, ssl: false, sasl: null }, pino({ level: 'silent' })),
    prefix,
    configure(config) {
      config.buffer = { type: 'kafka', config: { brokers, topic_prefix: prefix, partitions: PARTITIONS } }
    },
  }
}

function onEmbedded(config: ConfigFile): void {
  config.buffer = { type: 'embedded' }
}

/** Leaves the configuration with the Kafka buffer beside the new one, and gives its path. */
async function keepOld(world: World): Promise<string> {
  const old = join(world.dir, 'config', 'old.yaml')
  await copyFile(world.configPath, old)
  await world.configure(onEmbedded)
  return old
}

/** By partition, in their order: the offset of each event, and the event as it must arrive. */
async function inTopic({ client, prefix }: OnKafka): Promise<{ readonly offset: number; readonly text: Text }[][]> {
  const reader = new PartitionReader(client, `${prefix}.events`)
  try {
    const ends = [...(await reader.offsets('latest'))].sort(([a], [b]) => a - b)
    return await Promise.all(
      ends.map(async ([partition, end]) => {
        const found: { offset: number; text: Text }[] = []
        for (let next = 0; next < end; ) {
          const [page] = await reader.fetch(new Map([[partition, next]]), { maxBytes: 1_000_000, maxWaitMs: 500, minBytes: 1, signal: AbortSignal.timeout(20_000) })
          for (const { offset, value } of page?.records ?? []) {
            const { pull, event } = decodeTapEvent(value ?? Buffer.alloc(0))
            found.push({ offset, text: `${pull.service} ${Buffer.from(event).toString()}` })
          }
          next = page?.nextOffset ?? end
        }
        return found
      }),
    )
  } finally {
    await reader.close()
  }
}

async function statusOf(world: World): Promise<StatusReport> {
  const { code, stdout, stderr } = await world.run(['status', '--json'])
  expect(code, stderr).toBe(0)
  return JSON.parse(stdout) as StatusReport // written by status.ts
}

function textsOf({ lines }: World): Text[] {
  return lines.map((line) => parseLine(line).text).sort()
}

describeKafka('from Kafka to the embedded buffer', () => {
  test('the command carries everything over: each output gets what it had not, once, and nothing that was seen is read again', { timeout: 90_000 }, async () => {
    const kafka = await onKafka()
    const world = await makeWorld({ perHour: 300, traffic: { until: Date.now() - 2 * MINUTE_MS }, configure: (config) => kafka.configure(config) })
    const other = await makeWorld({ perHour: 0 })
    await world.configure(({ outputs }) => {
      const config = { ...outputs.devo_1?.config, port: other.receiver.port }
      for (const [key, name] of [['chain', 'chain.crt'], ['cert', 'me.crt'], ['key', 'me.key']] as const) Object.assign(config, { [key]: join(other.dir, 'certs', name) })
      outputs.devo_2 = { type: 'devo_platform', config }
    })
    other.receiver.refuseConnections()
    // Within the look-back: without the fingerprints they would come again. A chunk goes to one partition, so there are enough for all of them.
    const createdAt = Date.now() - 100_000
    world.add(...Array.from({ length: 3_000 }, (_, n) => ({ service: 'clicksBlocked' as const, createdAt: createdAt + n, content: { id: `recent ${n}` } })))
    const collector = world.start(['run'])
    await world.allArrive(Date.now() - MINUTE_MS)
    expect(await collector.stop()).toMatchObject({ code: 0 })
    const old = await keepOld(world)

    // As after a while with several collectors: none of the outputs is ahead of the other one.
    const partitions = await inTopic(kafka)
    expect(partitions.map((events) => events.length > 10)).toEqual([true, true, true])
    const half = partitions[0]?.[Math.floor(partitions[0].length / 2)]?.offset ?? 0
    const behindAll = (partitions[1]?.at(-1)?.offset ?? 0) + 1
    const commit = (output: string, partition: number, offset: number) =>
      commitOffsets(kafka.client, `${kafka.prefix}.${output}`, `${kafka.prefix}.events`, new Map([[partition, { offset, metadata: '' }]]))
    await commit('devo_1', 0, half)
    await commit('devo_2', 1, behindAll)
    const again = (partitions[0] ?? []).filter(({ offset }) => offset >= half).map(({ text }) => text)
    const forOther = partitions.flatMap((events, partition) => (partition === 1 ? [] : events.map(({ text }) => text)))

    await world.configure((config) => kafka.configure(config))
    const before = await statusOf(world)
    await world.configure(onEmbedded)
    const moved = await world.run(['move', '--from', old, '--yes'])
    expect(moved.code, moved.stderr).toBe(0)
    expect(moved.stdout).toContain(`${forOther.length} events, 4 services, 2 outputs and 0 dead letters were moved from Kafka (topic_prefix ${kafka.prefix}) to ${world.stateDir}`)
    expect((await world.run(['move', '--from', old, '--yes'])).stdout).toContain('before')
    expect(readdirSync(world.stateDir)).not.toContain('kafka-buffer.json')
    const after = await statusOf(world)
    expect(after.services).toEqual(before.services.map((service) => ({ ...service, lag_seconds: expect.any(Number) as unknown })))
    expect(after.pools.map(({ used }) => used)).toEqual(before.pools.map(({ used }) => used))
    expect(after.outputs).toMatchObject([{ output: 'devo_1', backlog_events: again.length, missed_events: 0 }, { output: 'devo_2', backlog_events: forOther.length, missed_events: 0 }])

    await other.receiver.acceptConnections()
    const requests = world.model.log.entries.length
    const { code, stdout } = await world.run(['run', '--once'])
    expect(code, stdout).toBe(0)
    expect(world.compare().missing).toEqual([])
    expect([...world.compare().surplus].sort()).toEqual(again.sort())
    expect(textsOf(other)).toEqual(forOther.sort())
    const settled = Math.min(...before.services.map((service) => Date.parse(service.settled)))
    // One of 30 s only asks the API for its time.
    const windows = world.model.log.entries.slice(requests).flatMap(({ window }) => (window === null || window.to - window.from <= 30_000 ? [] : [window.from]))
    expect(windows.length).toBeGreaterThan(0)
    expect(Math.min(...windows)).toBeGreaterThanOrEqual(settled)
    expect((await statusOf(world)).outputs).toMatchObject([{ backlog_events: 0 }, { backlog_events: 0 }])

    // Kafka's own side says where all has gone.
    await world.configure((config) => kafka.configure(config))
    await world.configure(({ globals }) => {
      globals.persistence.config.directory_name = 'other-state'
    })
    const sealed = await world.run(['run', '--once'])
    expect([sealed.code, sealed.stdout]).toEqual([1, expect.stringContaining('were moved to the embedded buffer')])
    const shown = await world.run(['status', '--json'])
    expect([shown.code, shown.stderr]).toEqual([0, expect.stringContaining('were moved to the embedded buffer')])
  })

  test('a collector that was paused and wakes up afterwards writes nothing, sends nothing, and ends', { timeout: 90_000 }, async () => {
    const kafka = await onKafka()
    const world = await makeWorld({ perHour: 60, traffic: { until: Date.now() - 2 * MINUTE_MS }, configure: (config) => kafka.configure(config) })
    // Nothing is in flight when it is paused: that would come again, as after a kill.
    expect((await world.run(['run', '--once'])).code).toBe(0)
    const paused = world.start(['run'])
    await paused.logged('The data is up to date!')
    const old = await keepOld(world)
    paused.kill('SIGSTOP')
    // Waits for the end of the paused one's sessions.
    const moved = await world.start(['move', '--from', old, '--yes']).ended
    expect(moved.code, moved.stderr).toBe(0)
    const written = (await inTopic(kafka)).flat().length
    world.add(...Array.from({ length: 20 }, (_, n) => ({ service: 'clicksBlocked' as const, createdAt: Date.now() - 100_000 + n, content: { id: `late ${n}` } })))
    paused.kill('SIGCONT')
    const { code, stdout } = await paused.end()
    expect([code, stdout]).toEqual([1, expect.stringContaining('were moved to the embedded buffer')])
    expect((await inTopic(kafka)).flat()).toHaveLength(written)
    expect((await world.run(['run', '--once'])).code).toBe(0)
    expect(world.compare()).toMatchObject(FULL)
  })
})

describe('the command move', () => {
  test('takes Kafka to embedded alone, and says what to do instead', async () => {
    const world = await makeWorld({ perHour: 0 })
    const embedded = join(world.dir, 'config', 'embedded.yaml')
    const kafka = join(world.dir, 'config', 'kafka.yaml')
    await copyFile(world.configPath, embedded)
    await world.configure((config) => {
      config.buffer = { type: 'kafka', config: { brokers: ['127.0.0.1:1'], topic_prefix: 'nowhere' } }
    })
    await copyFile(world.configPath, kafka)
    const move = (from: string, ...more: readonly string[]) => world.run(['move', '--from', from, ...more])
    expect(await move(embedded, '--yes')).toMatchObject({ code: 2, stderr: expect.stringContaining('start the collector with the new configuration') as unknown })
    expect(await move(kafka, '--yes')).toMatchObject({ code: 2, stderr: expect.stringContaining('both configurations have a Kafka buffer') as unknown })
    await world.configure(onEmbedded)
    expect(await move(embedded, '--yes')).toMatchObject({ code: 2, stderr: expect.stringContaining('must be the configuration with `buffer: {type: kafka}`') as unknown })
    expect(await move(kafka)).toMatchObject({ code: 2, stderr: expect.stringContaining('add --yes') as unknown })
    expect(await move(join(world.dir, 'nothing.yaml'), '--yes')).toMatchObject({ code: 2 })
    expect(await world.run(['move'])).toMatchObject({ code: 2, stderr: expect.stringContaining("'--from <file>' not specified") as unknown })
    const away = await move(kafka, '--yes')
    expect([away.code, away.stderr]).toEqual([1, expect.stringContaining('Nothing was moved: ')])
    expect(readdirSync(world.stateDir)).toEqual(['buffer.lock'])
  })
})
