import type { Logger } from 'pino'
import type { BatchStream, BufferSnapshot, Cursor, EventBuffer, InputOwnership, OutputShare, OutputStart, ReadRange } from '../../pipeline/buffer.ts'
import type { Clock } from '../../pipeline/clock.ts'
import { describeError } from '../../pipeline/errors.ts'
import type { MinuteLimit } from '../../pipeline/source.ts'
import type { DeadLetter, ServiceState, Unit } from '../../pipeline/unit.ts'
import { checkUnit } from './chunks.ts'
import type { LogEnds } from './chunks.ts'
import { cursorOf, parseCursor } from './cursor.ts'
import type { OpenedOutput } from './outputs.ts'
import { copyDeadLetters } from './protocol.ts'
import type { StoreArguments, StoreMethod, StoreResult } from './protocol.ts'
import type { StoreOptions } from './store.ts'
import { streamChunks } from './stream.ts'
import { LocalStore, ThreadedStore } from './thread.ts'
import type { StoreClient } from './thread.ts'
import { Waiters } from './waiters.ts'

/** Nobody shares a folder. */
const NEVER = new AbortController().signal
const CLOSED = 'the embedded buffer is closed'
const TRIM_EVERY_MS = 5 * 60_000
const FIRST_TRIM_MS = 1000
/** Between two steps of removing: appends and reads come first. */
const TRIM_PAUSE_MS = 25

export interface EmbeddedBufferOptions {
  /** The state folder; made where it is missing. */
  readonly dir: string
  /** How long delivered events stay for replay. */
  readonly retentionMs: number
  readonly maxSizeBytes: number
  readonly clock: Clock
  readonly log: Logger
  /** True: SQLite runs in the calling thread and blocks it. For simulations. */
  readonly inThread?: boolean
}

/**
 * Opens the buffer in the state folder, and holds the folder until `close`. Throws FatalError where only a person can help (the folder
 * is in use, the file is damaged, newer or not a buffer), RetryableError while the folder is full or may not be written.
 */
export async function openEmbeddedBuffer(options: EmbeddedBufferOptions): Promise<EventBuffer> {
  const { dir, retentionMs, maxSizeBytes, clock, inThread = false } = options
  const storeOptions: StoreOptions = { dir, retentionMs, maxSizeBytes, now: clock.now() }
  let store: StoreClient
  if (inThread) {
    store = new LocalStore(storeOptions)
  } else {
    const threaded = new ThreadedStore()
    await threaded.open(storeOptions)
    store = threaded
  }
  return new EmbeddedBuffer(store, await store.call('ends'), options)
}

class EmbeddedBuffer implements EventBuffer {
  readonly #store: StoreClient
  readonly #clock: Clock
  readonly #log: Logger
  readonly #waiters: Waiters
  #opened: readonly OpenedOutput[] = []
  #appended = false
  #trimFails = false
  #cancelTrim: () => void
  #closed: Promise<void> | null = null

  constructor(store: StoreClient, ends: LogEnds, { clock, log }: EmbeddedBufferOptions) {
    this.#store = store
    this.#clock = clock
    this.#log = log
    this.#waiters = new Waiters(ends)
    void store.broken.then((error) => this.#waiters.close(error))
    this.#cancelTrim = clock.after(FIRST_TRIM_MS, this.#trim)
  }

  loadService(inputId: string, service: string): Promise<ServiceState | null> {
    return this.#call('loadService', inputId, service)
  }

  startService(inputId: string, service: string, settled: number, startTime: number | null): Promise<void> {
    return this.#call('startService', inputId, service, settled, startTime)
  }

  async assertRoom(ofFeed = false): Promise<void> {
    this.#waiters.update(await this.#call('assertRoom', ofFeed))
  }

  async append(unit: Unit): Promise<void> {
    this.#appended = true
    checkUnit(unit)
    this.#waiters.update(await this.#call('append', unit))
  }

  /** The folder is held by one process, and with it everything in it. */
  async ownInputs(signal: AbortSignal): Promise<InputOwnership> {
    this.#assertOpen()
    signal.throwIfAborted()
    return { lost: NEVER, release: async () => undefined }
  }

  async openOutputs(outputs: readonly OutputStart[]): Promise<void> {
    const opened = await this.#call('openOutputs', outputs)
    const untold = new Map(this.#opened.map(({ name, missedEvents }) => [name, missedEvents]))
    this.#opened = opened.map((output) => ({ ...output, missedEvents: output.missedEvents + (untold.get(output.name) ?? 0) }))
  }

  /** All of them: nobody shares a folder. */
  async takeShare(output: string, signal: AbortSignal): Promise<OutputShare> {
    this.#assertOpen()
    signal.throwIfAborted()
    const opened = this.#opened.find(({ name }) => name === output)
    if (opened === undefined) throw new Error(`output ${output} is not known to the buffer`)
    const { chunk, missedEvents } = opened
    this.#move(output, chunk)
    return { cursor: cursorOf(chunk), missedEvents, ending: NEVER, lost: NEVER, release: async () => undefined }
  }

  read(output: string, range: ReadRange): BatchStream {
    return streamChunks((request) => this.#call('page', request, output), range)
  }

  async waitBeyond(_output: string, cursor: Cursor, signal: AbortSignal): Promise<void> {
    await this.#waiters.wait(parseCursor(cursor), signal)
  }

  async commit(output: string, cursor: Cursor, deadLetters: readonly DeadLetter[]): Promise<void> {
    await this.#call('commit', output, parseCursor(cursor), copyDeadLetters(deadLetters), this.#clock.now())
    this.#move(output, parseCursor(cursor))
  }

  load(pool: string): Promise<readonly (readonly [minute: number, requests: number])[]> {
    return this.#call('loadRequests', pool)
  }

  count(pool: string, minute: number, forgetBefore: number, limits?: readonly MinuteLimit[]): Promise<boolean> {
    return this.#call('countRequest', pool, minute, forgetBefore, limits)
  }

  snapshot(): Promise<BufferSnapshot> {
    return this.#call('snapshot')
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    this.#cancelTrim()
    this.#waiters.close(new Error(CLOSED))
    await this.#store.close()
  }

  /** What the next share of the output begins with; what was missed has been told. */
  #move(output: string, chunk: number): void {
    this.#opened = this.#opened.map((opened) => (opened.name === output ? { ...opened, chunk: Math.max(opened.chunk, chunk), missedEvents: 0 } : opened))
  }

  #assertOpen(): void {
    if (this.#closed !== null) throw new Error(CLOSED)
  }

  #call<Method extends StoreMethod>(method: Method, ...args: StoreArguments<Method>): Promise<StoreResult<Method>> {
    return this.#closed === null ? this.#store.call(method, ...args) : Promise.reject(new Error(CLOSED))
  }

  /** One small step each time, then the timer again: what else wants the store comes in between. */
  readonly #trim = (): void => {
    void this.#trimStep().then((pauseMs) => {
      if (this.#closed === null) this.#cancelTrim = this.#clock.after(pauseMs, this.#trim)
    })
  }

  async #trimStep(): Promise<number> {
    try {
      const { more, ends } = await this.#call('trim', this.#clock.now())
      this.#waiters.update(ends)
      if (more) return TRIM_PAUSE_MS
      if (!this.#appended) await this.#call('truncateLog')
      this.#appended = false
      if (this.#trimFails) this.#log.info('removing delivered events works again')
      this.#trimFails = false
    } catch (error) {
      // Not lost, only later; whoever appends will hear of a disk that is full or broken.
      if (this.#closed === null && !this.#trimFails) this.#log.warn({ code: 'RemovingFailed', err: error }, `removing delivered events: ${describeError(error)}`)
      this.#trimFails = true
    }
    return TRIM_EVERY_MS
  }
}
