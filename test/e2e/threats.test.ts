import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { startProxy } from '../kafka/kafka-proxy.ts'
import { describeKafka, sharedBroker } from '../support/kafka.ts'
import { shownEvents, textOf } from './arrivals.ts'
import { buffered } from './buffered.ts'
import { makeWorld, readableUntil, type ConfigFile, type World } from './world.ts'

interface Named {
  readonly threatID?: unknown
  readonly threatId?: unknown
}

/** Every threat that an event names which the API has shown. */
function threatsShown({ model }: World): Set<string> {
  const ids = shownEvents(model).flatMap((event) => {
    const text = textOf(event)
    // The shapes of the simulator's events.
    const parsed = JSON.parse(text.slice(text.indexOf(' ') + 1)) as Named & { readonly threatsInfoMap?: readonly Named[] | null }
    return [parsed, ...(parsed.threatsInfoMap ?? [])].map(({ threatID, threatId }) => threatID ?? threatId)
  })
  return new Set(ids.filter((id): id is string => typeof id === 'string' && id !== ''))
}

function withThreats({ inputs }: ConfigFile): void {
  for (const { services } of Object.values(inputs)) services.threats = { request_period_in_seconds: 1 }
}

interface Plan {
  /** Killed whenever so many threats have been asked for. */
  readonly kills: readonly number[]
  /** Another collector stands by and takes over; else the next one is started after the kill. */
  readonly hasStandby?: boolean
  readonly configure?: (config: ConfigFile) => void
}

async function expectEachThreatOnce({ kills, hasStandby = false, configure = () => undefined }: Plan): Promise<void> {
  const world = await makeWorld({
    perHour: 30,
    traffic: { until: readableUntil() },
    configure: (config) => {
      configure(config)
      withThreats(config)
    },
  })
  const { model } = world
  const asked = (): string[] => model.log.entries.filter(({ pool }) => pool === 'threat').map(({ path }) => path)
  for (const count of kills) {
    const killed = world.start(['run'])
    await world.tap.until(() => asked().length > 0)
    const standby = hasStandby ? world.start(['run']) : null
    await world.tap.until(() => asked().length >= count)
    killed.kill('SIGKILL')
    await killed.end()
    const before = asked().length
    if (standby === null) continue
    await world.tap.until(() => asked().length > before + 20)
    expect(await standby.stop()).toMatchObject({ code: 0 })
  }
  const events = await buffered(world)
  expect(world.compare().missing).toEqual([])
  const expected = threatsShown(world)
  expect(expected.size).toBeGreaterThan(100)
  const summaries = [...expected].map((id) => model.threats.find(id) ?? '')
  expect(summaries.filter((summary) => world.arrivals.countOf(`threats ${summary}`) === 0)).toEqual([])
  // A kill or a stop may cost the questions whose answers were not yet in the buffer.
  expect(new Set(asked()).size).toBe(expected.size)
  expect(asked().length).toBeLessThan(expected.size + kills.length * 220)
  const status = await world.run(['status', '--json'])
  expect(status.code, status.stderr).toBe(0)
  const state = JSON.parse(status.stdout) as { readonly pools: readonly { readonly pool: string; readonly used: number; readonly remaining: number | null }[] }
  expect(state).toMatchObject({
    services: expect.arrayContaining([expect.objectContaining({ service: 'threats', backlog_events: 0, holes: [], gaps: [] })]) as unknown,
    outputs: [{ output: 'devo_1', backlog_events: 0 }, { output: 'all', backlog_events: 0 }],
  })
  const pool = state.pools.find((entry) => entry.pool === 'threat')
  expect(pool).toMatchObject({ remaining: null })
  // Counted before it is sent: a kill, or the stop of who stood by, may come in between.
  expect((pool?.used ?? 0) - asked().length).toBeGreaterThanOrEqual(0)
  expect((pool?.used ?? 0) - asked().length).toBeLessThanOrEqual(2 * kills.length)
  expect(events.filter((event) => event.includes('"attackSpread":')).sort()).toEqual(summaries.sort())
}

test('each threat that events name is asked for, and is in the buffer once, also across kills', async () => {
  await expectEachThreatOnce({ kills: [15, 80] })
})

test('validate asks for no threat that there is, and reset says why it cannot move the service', async () => {
  const world = await makeWorld({ perHour: 0, configure: withThreats })
  expect(await world.run(['validate', '--connect'])).toMatchObject({ code: 0, stdout: expect.stringContaining('ok       input proofpoint_tap') as string })
  expect(world.model.log.entries.map(({ pool, status }) => [pool, status]).sort()).toEqual([['clicks_permitted', 200], ['siem', 200], ['threat', 404]])
  const reset = await world.run(['reset', '--service', 'threats', '--to', '2026-11-20T00:00:00Z', '--yes'])
  expect(reset).toMatchObject({ code: 2, stderr: expect.stringContaining('has no start of its own') as string })
})

describeKafka('with the Kafka buffer', () => {
  test('each threat that events name is asked for, and is in the topic once, also where another collector takes over', { timeout: 60_000 }, async () => {
    const { brokers } = await startProxy((await sharedBroker())[0] ?? '', { sessionTimeoutMs: 5_000 })
    await expectEachThreatOnce({
      kills: [60],
      hasStandby: true,
      configure: (config) => {
        config.buffer = { type: 'kafka', config: { brokers, topic_prefix: `t${randomUUID()}`, partitions: 3 } }
      },
    })
  })
})
