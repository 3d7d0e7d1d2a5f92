import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openEmbeddedBuffer } from '../../../src/buffers/embedded/embedded.ts'
import type { EventBuffer } from '../../../src/pipeline/buffer.ts'
import { Conditions } from '../../../src/pipeline/conditions.ts'
import { Counters } from '../../../src/pipeline/counters.ts'
import { RetryableError } from '../../../src/pipeline/errors.ts'
import { eventsOf, type Batch } from '../../../src/pipeline/event.ts'
import { supervise } from '../../../src/pipeline/supervisor.ts'
import { THREAT_SUMMARY } from '../../../src/simulator/tap-api.ts'
import { TapModel } from '../../../src/simulator/tap-model.ts'
import type { TapServiceConfig } from '../../../src/sources/proofpoint-tap/config.ts'
import { createTapSources } from '../../../src/sources/proofpoint-tap/source.ts'
import { requestOverModel } from '../../support/tap-over-model.ts'
import { DAY, HOUR, inputConfig, MINUTE, SECOND, serviceConfig, START, type LogLine } from '../../support/tap-simulation.ts'
import { VirtualClock } from '../../support/virtual-clock.ts'

const NOW = START + DAY
const idOf = (n: number): string => `e${n.toString(16).padStart(63, '0')}`

/** A collector without outputs over the model of the API and a real embedded buffer, on a virtual clock. */
class World {
  readonly clock = new VirtualClock(NOW)
  readonly model = new TapModel({ now: this.clock.trueTime })
  readonly lines: LogLine[] = []
  readonly conditions = new Conditions(this.clock.now)
  threats: Partial<TapServiceConfig> = { startTime: null, requestPeriodMs: MINUTE }
  /** Of what is next written for threats. */
  fate: () => 'well' | 'fails' | 'fails but is durable' = () => 'well'
  readonly #dir: string
  #buffer: EventBuffer | null = null
  #stop = new AbortController()
  #running: Promise<void> = Promise.resolve()

  constructor(dir: string) {
    this.#dir = dir
  }

  async start(): Promise<void> {
    const { clock, conditions, model } = this
    // Written by pino.
    const log = pino({ level: 'debug', base: null, formatters: { level: (level) => ({ level }) } }, {
      write: (line: string) => this.lines.push(JSON.parse(line) as LogLine),
    })
    const buffer = await openEmbeddedBuffer({ dir: this.#dir, retentionMs: 30 * DAY, maxSizeBytes: 1e9, clock, log, inThread: true })
    const { append, commit } = { append: buffer.append.bind(buffer), commit: buffer.commit.bind(buffer) }
    buffer.append = (unit) => (unit.readTo === undefined ? append(unit) : this.#fated(() => append(unit)))
    buffer.commit = (...args) => this.#fated(() => commit(...args))
    const leading = (['clicksBlocked', 'messagesBlocked'] as const).map((name) => serviceConfig(name, { startTime: null, requestPeriodMs: MINUTE }))
    const input = inputConfig({ services: [...leading, serviceConfig('threats', this.threats)], requestsLimits: [] })
    const counters = new Counters()
    const request = requestOverModel(model, clock)
    const sources = await createTapSources([input], { clock, log, quotaLog: buffer, conditions, counters, request, random: () => 0.5 })
    this.#stop = new AbortController()
    this.#buffer = buffer
    this.#running = supervise({ sources, outputs: [], buffer, clock, log, conditions, counters, stop: this.#stop.signal, once: false }).finally(async () => {
      await Promise.all(sources.map((source) => source.close()))
    })
    this.#running.catch(() => undefined)
  }

  async #fated(write: () => Promise<void>): Promise<void> {
    const fate = this.fate()
    if (fate !== 'fails') await write()
    if (fate !== 'well') throw new RetryableError('the outcome is not known')
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error('stopped'))
    await this.clock.run(this.#running)
    await this.#buffer?.close()
    this.#buffer = null
  }

  async restart(): Promise<void> {
    await this.stop()
    await this.start()
  }

  /** Shown at once. */
  click(threatID: string, threatStatus: string | null = 'active'): void {
    const content = { GUID: `${threatID} ${this.model.log.entries.length}`, threatID, ...(threatStatus !== null && { threatStatus }) }
    this.model.events.add({ service: 'clicksBlocked', createdAt: this.clock.trueTime(), content })
  }

  message(threatsInfoMap: unknown): void {
    this.model.events.add({ service: 'messagesBlocked', createdAt: this.clock.trueTime(), content: { GUID: `m ${this.model.log.entries.length}`, threatsInfoMap } })
  }

  get asked(): string[] {
    return this.model.log.entries.filter(({ pool }) => pool === 'threat').map(({ path }) => path.slice(THREAT_SUMMARY.length + 1))
  }

  async answers(): Promise<string[]> {
    const stream = this.#buffer?.read('anybody', { from: '0', maxEvents: 1e6, maxBytes: 1e9, signal: new AbortController().signal })
    const events: string[] = []
    // A BatchStream carries batches.
    for await (const batch of (stream ?? []) as AsyncIterable<Batch>) {
      if (batch.service === 'threats') for (const event of eventsOf(batch)) events.push(Buffer.from(event).toString())
    }
    return events
  }

  summary(id: string): string {
    return this.model.threats.find(id) ?? ''
  }

  get deadLetters(): Promise<number | undefined> | undefined {
    return this.#buffer?.snapshot().then(({ sourceDeadLetters }) => sourceDeadLetters)
  }

  reasons(): string[] {
    return this.conditions.list().map(({ part, reason }) => `${part}: ${reason}`)
  }

  said(text: string): LogLine[] {
    return this.lines.filter(({ msg, service }) => service === 'threats' && msg.includes(text))
  }
}

let world: World
let dir: string

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'tap-threats-'))
  world = new World(dir)
  await world.start()
  await world.clock.advance(MINUTE)
})

afterEach(async () => {
  await world.stop()
  await rm(dir, { recursive: true, force: true })
})

test('asks for each threat that clicks and messages name, in either spelling, and keeps what the API says byte for byte', async () => {
  const odd = `{ "id":"${idOf(4)}",\n "n":12345678901234567890, "new": {"a":[0.0,"\\u00e9"]} }`
  world.model.threats.set(idOf(4), odd)
  world.click(idOf(1))
  world.click(idOf(1))
  world.message([{ threatID: idOf(2), threatStatus: 'active' }, { threatId: idOf(3) }, { threatID: '' }, { threatID: null }, 'x', null])
  world.message(null)
  world.message([{ threatID: idOf(4) }, { threatID: idOf(1), threatStatus: 'active' }])
  await world.clock.advance(5 * MINUTE)
  expect(world.asked.sort()).toEqual([1, 2, 3, 4].map(idOf))
  const written = `{"id":"${idOf(4)}","n":12345678901234567890,"new":{"a":[0.0,"\\u00e9"]}}`
  expect((await world.answers()).sort()).toEqual([...[1, 2, 3].map((n) => world.summary(idOf(n))), written].sort())
})

test('asks again where an event shows another status than any that is known, and a day later', async () => {
  world.model.threats.set(idOf(1), '{"status":"active","n":1}')
  world.click(idOf(1), 'active')
  await world.clock.advance(3 * MINUTE)
  world.click(idOf(1), null)
  world.click(idOf(1), 'Active')
  await world.clock.advance(3 * MINUTE)
  expect(world.asked).toEqual([idOf(1)])
  world.model.threats.set(idOf(1), '{"status":"cleared","n":2}')
  world.click(idOf(1), 'cleared')
  await world.clock.advance(3 * MINUTE)
  world.click(idOf(1), 'cleared')
  world.click(idOf(1), 'active')
  await world.restart()
  await world.clock.advance(3 * MINUTE)
  expect(world.asked).toEqual([idOf(1), idOf(1)])
  expect(await world.answers()).toEqual(['{"status":"active","n":1}', '{"status":"cleared","n":2}'])
  await world.stop()
  await world.clock.advance(DAY + 2 * HOUR)
  await world.start()
  await world.clock.advance(5 * MINUTE)
  expect(world.asked).toHaveLength(2)
  world.click(idOf(1), 'cleared')
  await world.clock.advance(3 * MINUTE)
  expect(world.asked).toHaveLength(3)
})

test('an answer that has not changed is no new event', async () => {
  world.model.threats.set(idOf(1), '{"n":1}')
  world.click(idOf(1), 'active')
  await world.clock.advance(3 * MINUTE)
  world.click(idOf(1), 'cleared')
  await world.clock.advance(3 * MINUTE)
  expect(world.asked).toHaveLength(2)
  expect(await world.answers()).toEqual([world.summary(idOf(1))])
})

test('a threat that the API does not know is told, and not asked for again and again', async () => {
  world.model.threats.set(idOf(1), null)
  world.click(idOf(1))
  world.click('../../v2/siem/all')
  world.click('../../v2/siem/all', 'cleared')
  world.click(idOf(2))
  await world.clock.advance(10 * MINUTE)
  expect(world.asked.sort()).toEqual([idOf(1), idOf(2)])
  expect(await world.answers()).toEqual([world.summary(idOf(2))])
  expect(world.said('does not know the threat')).toMatchObject([{ level: 'warn' }])
  expect(world.said('by what is no id')).toHaveLength(1)
  expect(world.reasons()).toEqual([])
})

test.each([
  ['429', { kind: 'status', status: 429, retryAfter: 1_800 }, /throttles pool threat/],
  ['503', { kind: 'status', status: 503 }, /answers 503/],
  ['401', { kind: 'status', status: 401 }, /login refused/],
  ['403', { kind: 'status', status: 403 }, /not entitled to threats/],
  ['a page of a proxy', { kind: 'html' }, /HTML page/],
  ['nothing', { kind: 'empty' }, /it is empty/],
  ['half of it', { kind: 'truncate', afterBytes: 0.5, framing: 'ended' }, /not what the API promises/],
] as const)('%s is waited out, holds nothing else up, and loses and doubles nothing', async (_name, fault, reason) => {
  const takeBack = world.model.faults.set({ ...fault, path: THREAT_SUMMARY })
  const before = world.model.log.entries.filter(({ pool }) => pool === 'siem').length
  for (const n of [1, 2, 3]) world.click(idOf(n))
  await world.clock.advance(20 * MINUTE)
  expect(world.reasons()).toEqual([expect.stringMatching(reason)])
  expect(world.reasons()[0]).toMatch(/^tap\/threats: /)
  expect(world.model.log.entries.filter(({ pool }) => pool === 'siem').length).toBeGreaterThan(before + 30)
  expect(world.asked.length).toBeLessThan(60)
  await world.restart()
  takeBack()
  await world.clock.advance(10 * MINUTE)
  expect((await world.answers()).sort()).toEqual([1, 2, 3].map((n) => world.summary(idOf(n))).sort())
  expect(world.reasons()).toEqual([])
})

test('a threat at which the API fails comes last, and becomes a dead letter after an hour in which it answers otherwise', async () => {
  world.model.faults.set({ kind: 'status', status: 500, path: `${THREAT_SUMMARY}/${idOf(1)}` })
  for (const n of [1, 2, 3]) world.click(idOf(n))
  await world.clock.advance(10 * MINUTE)
  expect(await world.answers()).toEqual([2, 3].map((n) => world.summary(idOf(n))))
  await world.clock.advance(70 * MINUTE)
  expect(await world.deadLetters).toBe(1)
  expect(world.lines.filter(({ level, msg }) => level === 'error' && msg.includes('failed at this threat for an hour'))).toHaveLength(1)
  world.click(idOf(4))
  await world.clock.advance(5 * MINUTE)
  expect(await world.answers()).toContain(world.summary(idOf(4)))
  expect(world.reasons()).toEqual([])
})

test('as long as the API fails at all threats none is given up', async () => {
  const takeBack = world.model.faults.set({ kind: 'status', status: 500, path: THREAT_SUMMARY })
  world.click(idOf(1))
  await world.clock.advance(90 * MINUTE)
  expect(await world.deadLetters).toBe(0)
  takeBack()
  await world.clock.advance(10 * MINUTE)
  expect(await world.answers()).toEqual([world.summary(idOf(1))])
})

test('whatever becomes of an append or a commit, each answer is in the buffer once', async () => {
  const fates = ['fails', 'fails but is durable', 'well', 'fails but is durable', 'fails', 'well', 'well'] as const
  let writes = 0
  world.fate = () => fates[writes++ % fates.length] ?? 'well'
  const ids = Array.from({ length: 250 }, (_, n) => idOf(n))
  for (let from = 0; from < ids.length; from += 125) {
    for (const id of ids.slice(from, from + 125)) world.click(id)
    await world.clock.advance(10 * MINUTE)
  }
  await world.restart()
  await world.clock.advance(10 * MINUTE)
  world.fate = () => 'well'
  await world.clock.advance(10 * MINUTE)
  expect(writes).toBeGreaterThan(20)
  expect((await world.answers()).sort()).toEqual(ids.map((id) => world.summary(id)).sort())
})

test('added later, it begins with what comes from then on, or with what was pulled from its start time on', async () => {
  world.click(idOf(1))
  await world.clock.advance(10 * MINUTE)
  await world.stop()
  await rm(dir, { recursive: true })
  const later = new World(dir)
  world = later
  later.threats = { startTime: NOW + 30 * MINUTE, requestPeriodMs: MINUTE }
  await later.start()
  await later.clock.advance(MINUTE)
  later.click(idOf(1))
  await later.clock.advance(20 * MINUTE)
  expect(later.asked).toEqual([])
  await later.clock.advance(10 * MINUTE)
  later.click(idOf(2))
  await later.clock.advance(10 * MINUTE)
  expect(later.asked).toEqual([idOf(2)])
})

test('its mark goes on where nothing happens, and costs no request', async () => {
  await world.clock.advance(30 * SECOND)
  await world.clock.advance(HOUR)
  expect(world.asked).toEqual([])
  expect(world.said('Pull Started').length).toBeGreaterThan(50)
})
