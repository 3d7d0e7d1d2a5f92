import { existsSync, mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CollectorConfig } from '../../src/config/types.ts'
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../src/simulator/tap-api.ts'
import { TapModel } from '../../src/simulator/tap-model.ts'
import { Random } from '../../src/simulator/tap-random.ts'
import { TAP_TABLES } from '../../src/sources/proofpoint-tap/services.ts'
import { VirtualClock } from '../support/virtual-clock.ts'
import { ModelApi } from './api.ts'
import { checkRun } from './check.ts'
import { ModelDevo } from './devo.ts'
import { Disk } from './disk.ts'
import { Host } from './host.ts'
import { Ledger, type Violation } from './ledger.ts'
import { START, type Fault, type NextStart, type Plan } from './plan.ts'
import { arraysOf, completeList, listsOf, type ServiceList } from './service-lists.ts'
import { Trace } from './trace.ts'
import { makeTraffic, SHOWN_WITHIN_MS, type Traffic } from './traffic.ts'

const OUTPUT = 'devo_1'
const SHIPMENTS_IN_FLIGHT = 4
/** After the last fault everything has to be delivered within so long. A quota that was used up takes a day. */
const RUN_OFF_MS = 36 * HOUR_MS
const LOOK_EVERY_MS = 30 * MINUTE_MS
const KEPT_LINES = 400
const ROOM_BYTES = 256 * 2 ** 20
const MOST_VIOLATIONS = 20

export interface Outcome {
  readonly plan: Plan
  readonly violations: readonly Violation[]
  readonly events: number
  readonly requests: number
  readonly doubles: number
  readonly connections: number
  readonly starts: number
  readonly kills: number
  readonly repairs: number
  readonly gaps: number
  /** Open at the end. */
  readonly holes: number
  readonly steps: number
  readonly digest: string
  readonly trace: readonly string[]
}

export interface RunOptions {
  /** How many lines of the trace stay, of those that match `focus`; default: the last 400. */
  readonly keepLines?: number
  readonly focus?: RegExp
  /** The memory in use, megabytes; asked once a simulated day. Left out: memory is not looked at. */
  readonly heapMb?: () => number
}

/** One run: the collector, both remote sides, its machine and its operator, on one virtual clock, as the plan has it. */
export async function runPlan(plan: Plan, options: RunOptions = {}): Promise<Outcome> {
  const dir = mkdtempSync(join(fastFolder(), 'tap-soak-'))
  const systemRandom = Math.random
  const random = new Random(plan.seed, 'jitter')
  // The jitter of all waits.
  Math.random = () => random.next()
  try {
    return await new World(plan, dir, options).run()
  } finally {
    Math.random = systemRandom
    rmSync(dir, { recursive: true, force: true })
  }
}

/** In memory where there is room: thousands of commits wait for the disk otherwise. */
function fastFolder(): string {
  if (!existsSync('/dev/shm')) return tmpdir()
  const { bavail, bsize } = statfsSync('/dev/shm')
  return bavail * bsize > ROOM_BYTES ? '/dev/shm' : tmpdir()
}

class World {
  readonly #plan: Plan
  readonly #machine = new VirtualClock(START, { idleTurns: 3 })
  readonly #trace: Trace
  readonly #traffic: Traffic
  readonly #model: TapModel
  readonly #api: ModelApi
  readonly #devo: ModelDevo
  readonly #disk: Disk
  readonly #ledger: Ledger
  readonly #host: Host
  readonly #tasks = new Set<Promise<void>>()
  /** The local clock went forward by so much at these times. */
  readonly #forwards: number[] = []
  /** What is in the configuration. */
  #services: ServiceList
  #inputId = '12345'
  readonly #heapMb: (() => number) | null
  /** Once a day. */
  readonly #heaps: number[] = []

  constructor(plan: Plan, dir: string, { keepLines = KEPT_LINES, focus, heapMb }: RunOptions) {
    const { seed, days, services, startBackMs, endpoint } = plan
    this.#plan = plan
    this.#services = services
    this.#heapMb = heapMb ?? null
    this.#trace = new Trace(this.#machine, keepLines, focus ?? null)
    this.#model = new TapModel({ now: this.#machine.trueTime, seed, settings: { contentType: 'mixed', shuffleEnvelope: true } })
    const { threats } = this.#model
    const arrays = arraysOf(listsOf(plan))
    this.#traffic = makeTraffic(seed, arrays, START - startBackMs, START + days * DAY_MS, services.includes('threats') ? (id) => threats.find(id) : null)
    this.#model.events.add(...this.#traffic.events)
    this.#api = new ModelApi(this.#model, seed, this.#machine.trueTime)
    this.#disk = new Disk(seed)
    this.#devo = new ModelDevo({
      seed, machine: this.#machine, endpoint, onLines: (lines, link) => {
        this.#trace.add(`Devo has ${lines.length} lines of connection ${link.number}`)
        this.#ledger.received(lines, link)
      },
    })
    const byTag = new Map<string, string>(Object.entries(TAP_TABLES).map(([kind, table]) => [table, kind]))
    this.#ledger = new Ledger(this.#traffic.expected, {
      output: OUTPUT,
      serviceOf: (tag) => byTag.get(tag) ?? tag,
      linksOpened: () => this.#devo.connections,
      onGap: (gap) => this.#checkGap(gap),
    })
    this.#host = new Host({
      machine: this.#machine, dir, api: this.#api, devo: this.#devo, disk: this.#disk, ledger: this.#ledger, trace: this.#trace.add,
      configFor: (stateDir, earliestStart) => this.#config(stateDir, earliestStart),
    })
  }

  async run(): Promise<Outcome> {
    const { days, faults, skewMs } = this.#plan
    this.#machine.skewWall(skewMs)
    for (const [index, fault] of faults.entries()) this.#schedule(fault, index)
    this.#host.up()
    for (let hour = 0; hour < days * 24 && !this.#isHopeless(); hour += 1) {
      await this.#machine.advance(HOUR_MS)
      if (hour % 24 === 23 && this.#heapMb !== null) this.#heaps.push(this.#heapMb())
    }
    this.#complete()
    await this.#runOff()
    this.#checkMemory()
    const snapshot = await this.#host.buffer?.snapshot()
    const requests = this.#api.sent
    await this.#stopAll()
    checkRun({ plan: this.#plan, inputId: this.#inputId, services: this.#services, ledger: this.#ledger, snapshot: snapshot ?? null, requests, givenUpBefore: this.#host.givenUpBefore,
      shipmentsInFlight: SHIPMENTS_IN_FLIGHT, forgotten: [...this.#host.lostStateAt, ...this.#forwards], openConnections: this.#devo.open.size })
    return {
      plan: this.#plan, violations: this.#ledger.violations, events: this.#traffic.events.length, requests: requests.length, doubles: this.#ledger.doubles,
      connections: this.#devo.connections, starts: this.#host.starts, kills: this.#host.kills, repairs: this.#host.repairs, gaps: this.#ledger.gaps.length,
      holes: snapshot?.services.reduce((sum, { holes }) => sum + holes.length, 0) ?? 0, steps: this.#trace.count, digest: this.#trace.digest(), trace: this.#trace.lines,
    }
  }

  /** What was taken out comes back. */
  #complete(): void {
    const lists = listsOf(this.#plan)
    if (lists.length > 1) this.#task(this.#host.stop().then(() => this.#startAgain({ services: completeList([...lists, this.#services]) })))
  }

  #startAgain({ services = this.#services, newId = false }: NextStart): void {
    this.#services = services
    if (newId) this.#inputId = `${this.#inputId}0`
    this.#host.up()
  }

  /** Until all has arrived that can, or time is up. */
  async #runOff(): Promise<void> {
    const minimum = SHOWN_WITHIN_MS + 2 * HOUR_MS
    for (let ms = 0; ms < RUN_OFF_MS && !this.#isHopeless(); ms += LOOK_EVERY_MS) {
      await this.#machine.advance(LOOK_EVERY_MS)
      if (ms >= minimum && this.#ledger.missing().length === 0) return
    }
  }

  /** Nothing more is to be learnt from it. */
  #isHopeless(): boolean {
    return this.#ledger.violations.length > MOST_VIOLATIONS
  }

  /** From the first two days to the last two. What the simulation itself keeps grows as well: its books, and what lives that were killed had in hand. */
  #checkMemory(): void {
    if (this.#heaps.length < 4) return
    const grownMb = Math.min(...this.#heaps.slice(-2)) - Math.min(...this.#heaps.slice(0, 2))
    const booksMb = 10 + this.#heaps.length + 0.5 * this.#host.kills
    if (grownMb > booksMb) this.#ledger.report('memory grows', `${grownMb.toFixed(1)} MB in ${this.#heaps.length} days, the simulation itself takes ${booksMb.toFixed(1)}`)
  }

  async #stopAll(): Promise<void> {
    const stopped = this.#host.stop()
    await this.#machine.run(Promise.all([stopped, ...this.#tasks]))
    await this.#machine.advance(10 * MINUTE_MS)
  }

  #schedule(fault: Fault, index: number): void {
    this.#machine.after(fault.from, () => {
      this.#trace.add(`fault ${index} begins: ${JSON.stringify(fault)}`)
      const end = this.#begin(fault, index)
      if (fault.until === Infinity) return
      this.#machine.after(fault.until - fault.from, () => {
        this.#trace.add(`fault ${index} ends`)
        end()
      })
    })
  }

  /** Returns what ends it. */
  #begin(fault: Fault, index: number): () => void {
    const host = this.#host
    switch (fault.kind) {
      case 'api':
        return this.#model.faults.set({ ...fault.fault, probability: fault.probability })
      case 'api hole':
        return this.#model.faults.set({ kind: 'status', status: 500, body: 'index unavailable', minute: fault.minute })
      case 'api away':
        return this.#api.goAway(fault.how)
      case 'api clock':
        this.#model.configure({ clockSkewMs: fault.skewMs })
        return () => this.#model.configure({ clockSkewMs: 0 })
      case 'local clock':
        return this.#skew(fault.skewMs)
      case 'devo':
        return this.#devo.behave(fault.behaviour, fault.probability, index)
      case 'devo away':
        return this.#devo.goAway(fault.how)
      case 'devo killed':
        return this.#devo.kill()
      case 'devo backend':
        return this.#devo.loseBackend(fault.afterMs)
      case 'kill':
        host.killAfter(fault.afterSteps)
        return () => {
          host.killNow()
          this.#startAgain(fault)
        }
      case 'stop': {
        const stopped = host.stop()
        return () => this.#task(stopped.then(() => this.#startAgain(fault)))
      }
      case 'suspend':
        host.suspend(fault.until - fault.from)
        return () => undefined
      case 'disk':
        return this.#disk.fail(fault.how, fault.probability, index)
      case 'damage':
        this.#task(host.copyState())
        return () => host.damage(fault.repair, fault.place)
    }
  }

  #skew(ms: number): () => void {
    const set = (skewMs: number): void => {
      const before = this.#machine.now()
      this.#machine.skewWall(this.#plan.skewMs + skewMs)
      if (this.#machine.now() > before) this.#forwards.push(this.#machine.trueTime())
    }
    set(ms)
    return () => set(0)
  }

  #task(work: Promise<void>): void {
    const task = work.catch((error: unknown) => this.#ledger.report('the simulation failed', String(error)))
    this.#tasks.add(task)
    void task.then(() => this.#tasks.delete(task))
  }

  /** Only what the API no longer answers for is given up. */
  #checkGap({ to }: { readonly to: number }): void {
    const horizon = this.#model.serverTime() - 7 * DAY_MS
    if (to > horizon + 15 * MINUTE_MS) this.#ledger.report('a gap that need not be', `up to ${new Date(to).toISOString()}`)
  }

  #config(stateDir: string, earliestStart: number): CollectorConfig {
    const { startBackMs, requestPeriodMs, sweepPeriodMs, requestsPerDay, endpointMode } = this.#plan
    return {
      root: stateDir, name: 'soak', id: 'soak', debug: false, stateDir, internalEvents: false,
      http: { enabled: false, host: '127.0.0.1', isHostGiven: false, port: 0, token: null },
      buffer: { type: 'embedded', retentionMs: 6 * HOUR_MS, maxSizeBytes: 2 ** 30 },
      outputs: [{
        type: 'devo_platform', name: OUTPUT, services: null, transforms: [], shipmentsInFlight: SHIPMENTS_IN_FLIGHT, maxShipmentEvents: 200, maxShipmentBytes: 2 ** 26,
        startFrom: 'now', config: {
          address: 'devo.test', port: 443, chain: 'chain.crt', cert: 'me.crt', key: 'me.key', confirm: 'drain', quietMs: 1_000, drainTimeoutMs: 30_000,
          probeMs: 5_000, settleMs: 10_000, verifyHostname: true, allowWeakCertificates: false,
        },
      }],
      inputs: [{
        name: 'tap', id: this.#inputId, username: 'principal', password: 'secret', baseUrl: 'https://tap.test', environment: null,
        requestsLimits: [{ periodMs: DAY_MS, requests: requestsPerDay }], endpointMode, ca: null,
        services: this.#services.map((name) => ({
          // By the local clock, threats in events that are pulled before it would be none.
          name, startTime: name === 'threats' ? null : Math.max(START - startBackMs, Math.floor(earliestStart / 1_000) * 1_000), requestPeriodMs, lookBackMs: 45 * MINUTE_MS,
          sweepPeriodMs, overrideTag: null, threatStatuses: [], threatTypes: [],
        })),
      }],
    }
  }
}
