import { closeSync, copyFileSync, existsSync, mkdirSync, openSync, rmSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { pino, type Logger } from 'pino'
import { openEmbeddedBuffer } from '../../src/buffers/embedded/embedded.ts'
import { runCollector } from '../../src/commands/collector.ts'
import type { CollectorConfig } from '../../src/config/types.ts'
import type { EventBuffer } from '../../src/pipeline/buffer.ts'
import { Counters } from '../../src/pipeline/counters.ts'
import { FatalError } from '../../src/pipeline/errors.ts'
import { DAY_MS, MINUTE_MS, SECOND_MS } from '../../src/simulator/tap-api.ts'
import type { VirtualClock } from '../support/virtual-clock.ts'
import type { ModelApi } from './api.ts'
import type { ModelDevo } from './devo.ts'
import type { Disk } from './disk.ts'
import type { Ledger } from './ledger.ts'
import { Life } from './life.ts'
import { StepBuffer } from './step-buffer.ts'

const BLOCK_BYTES = 16_384
/** A graceful stop may wait 5 s for shipments in flight. */
const STOP_WITHIN_MS = 60 * SECOND_MS
const RESTART_AFTER_MS = 10 * SECOND_MS
const REPAIR_AFTER_MS = 5 * MINUTE_MS
/** Where an operator begins anew: just inside of what the API still answers for. */
const HORIZON_MS = 7 * DAY_MS - 30 * MINUTE_MS

export interface HostOptions {
  readonly machine: VirtualClock
  readonly dir: string
  readonly configFor: (stateDir: string, earliestStart: number) => CollectorConfig
  readonly api: ModelApi
  readonly devo: ModelDevo
  readonly disk: Disk
  readonly ledger: Ledger
  readonly trace: (text: string) => void
}

interface Running {
  readonly life: Life
  buffer: EventBuffer | null
  /** Resolves when the process is gone, whatever ended it. */
  readonly over: Promise<void>
}

/** The machine that the collector runs on, and its operator: starts, stops and kills the process, and repairs its state. */
export class Host {
  starts = 0
  kills = 0
  repairs = 0
  /** When states were lost or put back, epoch milliseconds: what was counted until then is forgotten. */
  readonly lostStateAt: number[] = []
  /** Events created before this are lost where they had not been delivered: the operator knows. */
  givenUpBefore = -Infinity
  readonly #options: HostOptions
  readonly #stateDir: string
  readonly #copyDir: string
  #running: Running | null = null
  /** Reasons for it not to run. */
  #downs = 1
  #hasCopy = false
  #damage: 'copy' | 'anew' | null = null

  constructor(options: HostOptions) {
    this.#options = options
    this.#stateDir = join(options.dir, 'state')
    this.#copyDir = join(options.dir, 'copy')
    mkdirSync(this.#copyDir, { recursive: true })
  }

  get buffer(): EventBuffer | null {
    return this.#running?.buffer ?? null
  }

  get pendingTimers(): number {
    return this.#running?.life.pendingTimers ?? 0
  }

  suspend(ms: number): void {
    this.#running?.life.suspend(ms)
  }

  /** One reason fewer not to run. */
  up(): void {
    this.#downs -= 1
    if (this.#downs === 0 && this.#running === null) this.#start()
  }

  /** It is killed at so many steps from here. */
  killAfter(steps: number): void {
    this.#downs += 1
    this.#running?.life.killAfter(steps)
  }

  killNow(): void {
    this.#running?.life.kill()
  }

  /** Resolves when it is gone. */
  async stop(): Promise<void> {
    const { machine, ledger } = this.#options
    this.#downs += 1
    const running = this.#running
    if (running === null) return
    running.life.stop.abort(new Error('stopped by SIGTERM'))
    const cancel = machine.after(STOP_WITHIN_MS, () => {
      if (!running.life.isSuspended) ledger.report('hangs at its stop', `life ${running.life.number}`)
      running.life.kill()
    })
    await running.over
    cancel()
  }

  /** A copy of the state, as an operator makes it: while the collector is stopped. */
  async copyState(): Promise<void> {
    await this.stop()
    if (existsSync(this.#file)) {
      copyFileSync(this.#file, join(this.#copyDir, 'buffer.db'))
      this.#hasCopy = true
    }
    this.up()
  }

  /** Kills the process and overwrites a block of the file; whatever ends the process from then on is answered with the repair. */
  damage(repair: 'copy' | 'anew', place: number): void {
    this.#downs += 1
    this.killNow()
    if (existsSync(this.#file)) {
      const at = Math.floor((place * statSync(this.#file).size) / BLOCK_BYTES) * BLOCK_BYTES
      const file = openSync(this.#file, 'r+')
      writeSync(file, Buffer.alloc(BLOCK_BYTES, 0xa5), 0, BLOCK_BYTES, at)
      closeSync(file)
      this.#options.trace(`damaged at ${at}`)
      this.#damage = repair === 'copy' && !this.#hasCopy ? 'anew' : repair
    }
    this.up()
  }

  get #file(): string {
    return join(this.#stateDir, 'buffer.db')
  }

  #start(): void {
    const { machine, devo, trace, api, configFor } = this.#options
    this.starts += 1
    const number = this.starts
    const over = Promise.withResolvers<undefined>()
    const life = new Life(number, machine, {
      onStep: (what) => trace(`#${number} ${what}`),
      onDeath: () => {
        this.kills += 1
        void running.buffer?.close()
        devo.clientDied(life)
        this.#ended(running, null)
        over.resolve(undefined)
      },
    })
    const running: Running = { life, buffer: null, over: over.promise }
    this.#running = running
    trace(`#${number} starts`)
    const config = configFor(this.#stateDir, this.givenUpBefore)
    const work = runCollector({
      config,
      clock: life.clock,
      log: this.#logOf(life),
      counters: new Counters(),
      stop: life.stop.signal,
      once: false,
      seams: { request: api.requestFor(life), connect: devo.connectFor(life), openBuffer: (_config, { log }) => this.#openBuffer(running, config, log) },
    })
    work.then(() => null, (error: unknown) => ({ error })).then((failure) => {
      if (life.isDead) return
      if (life.pendingTimers > 0) this.#options.ledger.report('timers are left', `${life.pendingTimers} of life ${number}`)
      this.#ended(running, failure)
      over.resolve(undefined)
    }).catch((error: unknown) => this.#options.ledger.report('the simulation failed', String(error)))
  }

  async #openBuffer(running: Running, { buffer: { retentionMs } }: CollectorConfig, log: Logger): Promise<EventBuffer> {
    const { disk, ledger } = this.#options
    const { life } = running
    await life.step('open')
    disk.beforeWrite()
    const lastChunk = lastChunkOf(this.#file)
    const buffer = await life.answer(
      openEmbeddedBuffer({ dir: this.#stateDir, retentionMs, maxSizeBytes: 2 ** 30, clock: life.clock, log, inThread: true }),
    )
    running.buffer = buffer
    if (lastChunk !== null) ledger.opened(lastChunk)
    return new StepBuffer(buffer, life, disk, ledger)
  }

  #ended(running: Running, failure: { readonly error: unknown } | null): void {
    const { machine, ledger, trace } = this.#options
    if (this.#running === running) this.#running = null
    const { life } = running
    if (failure === null) {
      trace(`#${life.number} has ended`)
      if (this.#downs === 0 && !life.isDead) ledger.report('ends by itself', `life ${life.number}`)
      this.#startAgainAfter(RESTART_AFTER_MS)
      return
    }
    const text = failure.error instanceof Error ? (failure.error.stack ?? failure.error.message) : String(failure.error)
    trace(`#${life.number} has failed: ${text.split('\n')[0]?.replaceAll(this.#options.dir, '') ?? ''}`)
    if (failure.error instanceof FatalError && this.#damage !== null) {
      this.#downs += 1
      machine.after(REPAIR_AFTER_MS, () => {
        this.#repair()
        this.up()
      })
      return
    }
    ledger.report('ends with an error', `life ${life.number}: ${text}`)
    this.#startAgainAfter(RESTART_AFTER_MS)
  }

  #startAgainAfter(ms: number): void {
    if (this.#downs > 0) return
    this.#downs += 1
    this.#options.machine.after(ms, () => this.up())
  }

  #repair(): void {
    const { machine, ledger, trace } = this.#options
    const now = machine.trueTime()
    trace(`the operator repairs the state: ${this.#damage ?? ''}`)
    this.repairs += 1
    this.lostStateAt.push(now)
    ledger.stateWasLost()
    rmSync(this.#stateDir, { recursive: true, force: true })
    if (this.#damage === 'copy') {
      mkdirSync(this.#stateDir)
      copyFileSync(join(this.#copyDir, 'buffer.db'), this.#file)
    } else {
      this.givenUpBefore = now - HORIZON_MS
    }
    this.#damage = null
  }

  /** Its lines are a part of the trace; what a dead process says is not heard. */
  #logOf(life: Life): Logger {
    const { trace, dir } = this.#options
    return pino({ level: 'info', base: null, timestamp: false, formatters: { level: (label) => ({ level: label }) } }, {
      write: (line: string) => {
        if (life.isDead) return
        // Written just above by pino.
        const { level, service = '', msg } = JSON.parse(line) as { level: string; service?: string; msg: string }
        trace(`#${life.number} ${level} ${service} ${msg.replaceAll(dir, '')}`)
      },
    })
  }
}

/** Null where there is none, or it cannot be read. */
function lastChunkOf(file: string): number | null {
  if (!existsSync(file)) return 0
  try {
    const db = new Database(file, { readonly: true })
    try {
      return Number(db.prepare('SELECT appended_chunk FROM log').pluck().get())
    } finally {
      db.close()
    }
  } catch {
    return null
  }
}
