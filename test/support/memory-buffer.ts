import type { BatchStream, BufferSnapshot, EventBuffer, InputOwnership } from '../../src/pipeline/buffer.ts'
import { RetryableError } from '../../src/pipeline/errors.ts'
import { eventsOf } from '../../src/pipeline/event.ts'
import type { MinuteLimit } from '../../src/pipeline/source.ts'
import { readerOf, type DeadLetter, type Gap, type ServiceState, type Unit } from '../../src/pipeline/unit.ts'

const keyOf = (inputId: string, service: string): string => `${inputId}/${service}`

/**
 * The appending half of a buffer in memory, for simulations on a virtual clock; it keeps the text and the number of every event. What an
 * append makes durable, and what a source may not do, is checked as in a real one.
 */
export class MemoryBuffer implements EventBuffer {
  /** Times that each event came in, by input, service and text. */
  readonly events = new Map<string, number>()
  readonly deadLetters: DeadLetter[] = []
  readonly gaps: Gap[] = []
  readonly units: Pick<Unit, 'service' | 'window' | 'pulledAt' | 'position'>[] = []
  readonly #states = new Map<string, ServiceState>()
  readonly #minutes = new Map<string, Map<number, number>>()
  /** What happens to the next append: it fails, and was made durable or not. */
  fate: (unit: Unit) => 'well' | 'fails' | 'fails but is durable' = () => 'well'
  quotaFails: () => boolean = () => false

  async loadService(inputId: string, service: string): Promise<ServiceState | null> {
    return this.#states.get(keyOf(inputId, service)) ?? null
  }

  async startService(inputId: string, service: string, settled: number, startTime: number | null): Promise<void> {
    this.#states.set(keyOf(inputId, service), { settled, readAt: 0, holes: [], seen: [], startTime })
  }

  async assertRoom(): Promise<void> {
    await Promise.resolve()
  }

  async append(unit: Unit): Promise<void> {
    const fate = this.fate(unit)
    if (fate === 'fails') throw new RetryableError('the disk is full')
    this.#keep(unit)
    if (fate === 'fails but is durable') throw new RetryableError('the outcome is unknown')
  }

  async load(pool: string): Promise<readonly (readonly [number, number])[]> {
    return [...(this.#minutes.get(pool) ?? [])]
  }

  async count(pool: string, minute: number, forgetBefore: number, limits: readonly MinuteLimit[] = []): Promise<boolean> {
    if (this.quotaFails()) throw new RetryableError('the disk is full')
    const minutes = this.#minutes.get(pool) ?? new Map<number, number>()
    this.#minutes.set(pool, minutes)
    const used = (since: number): number => [...minutes].reduce((sum, [known, requests]) => (known >= since && known <= minute + 1 ? sum + requests : sum), 0)
    if (limits.some(({ since, requests }) => used(since) >= requests)) return false
    minutes.set(minute, (minutes.get(minute) ?? 0) + 1)
    for (const known of [...minutes.keys()]) if (known < forgetBefore) minutes.delete(known)
    return true
  }

  requestsCounted(): number {
    return [...this.#minutes.values()].flatMap((minutes) => [...minutes.values()]).reduce((sum, requests) => sum + requests, 0)
  }

  get pools(): string[] {
    return [...this.#minutes.keys()]
  }

  #keep(unit: Unit): void {
    const { inputId, service, window, pulledAt, chunks, deadLetters, position } = unit
    const key = keyOf(inputId, readerOf(unit))
    const state = this.#states.get(key)
    if (state === undefined) throw new Error(`${key} was never started`)
    // A service that was to begin now may find that its now lay in the API's future.
    const mayMoveBack = state.readAt === 0 && state.startTime === null
    if (position.settled < state.settled && !mayMoveBack) throw new Error(`the mark of ${key} moved back`)
    const isForgotten = (known: { readonly from: number; readonly to: number }): boolean =>
      position.forgotten.some(({ from, to }) => from === known.from && to === known.to)
    const seen = state.seen.filter((entry) => !isForgotten(entry.window))
    this.#states.set(key, {
      ...state,
      settled: position.settled,
      readAt: position.readAt,
      holes: position.holes,
      seen: position.seen === null ? seen : [...seen, position.seen],
    })
    for (const chunk of chunks) {
      for (const event of eventsOf(chunk)) {
        const text = `${keyOf(inputId, service)} ${Buffer.from(event).toString()}`
        this.events.set(text, (this.events.get(text) ?? 0) + 1)
      }
    }
    this.deadLetters.push(...deadLetters)
    this.gaps.push(...position.gaps)
    this.units.push({ service, window, pulledAt, position })
  }

  async ownInputs(): Promise<InputOwnership> {
    return { lost: new AbortController().signal, release: async () => undefined }
  }

  takeShare(): never {
    throw new Error('this buffer has no outputs')
  }

  openOutputs(): never {
    throw new Error('this buffer has no outputs')
  }

  read(): BatchStream {
    throw new Error('this buffer has no outputs')
  }

  waitBeyond(): never {
    throw new Error('this buffer has no outputs')
  }

  commit(): never {
    throw new Error('this buffer has no outputs')
  }

  async snapshot(): Promise<BufferSnapshot> {
    const pools = [...this.#minutes].map(([pool, minutes]) => ({ pool, minutes: [...minutes] }))
    return { services: [], outputs: [], sourceDeadLetters: this.deadLetters.length, pools, sizeInBytes: 0, maxSizeInBytes: 1 }
  }

  async close(): Promise<void> {
    await Promise.resolve()
  }
}
