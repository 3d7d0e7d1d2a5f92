import type { Collector } from '../e2e/collector.ts'
import type { ParsedLine } from '../e2e/arrivals.ts'

/** Wherever a line begins: with its code, or without one. */
const FAILURE = /Delivery to devo_1 failed/

/** One process, from its start to its end. */
interface Life {
  readonly collector: Collector
  /** The number of the first connection that can be its own. */
  readonly firstConnection: number
  /** After which all that was in flight may come again: a kill, or a share that was lost. */
  interruptions: number
}

/**
 * Which connection brought which event. An event may come twice only where its first connection failed, or where it was in flight when
 * its process was interrupted: a slot is free only when its cursor is saved, so those are at most so many connections as slots.
 */
export class Ledger {
  /** By event: the connections that have brought it, in order. */
  readonly #receptions = new Map<string, number[]>()
  readonly #linesOf = new Map<number, number>()
  readonly #failed = new Set<number>()
  readonly #lives: Life[] = []

  onLine({ text }: ParsedLine, connection: number): void {
    this.#linesOf.set(connection, (this.#linesOf.get(connection) ?? 0) + 1)
    const before = this.#receptions.get(text)
    if (before === undefined) this.#receptions.set(text, [connection])
    else before.push(connection)
  }

  /** These did not end well, or were open when something happened to them. */
  failed(connections: Iterable<number>): void {
    for (const connection of connections) this.#failed.add(connection)
  }

  begins(collector: Collector, firstConnection: number): void {
    this.#lives.push({ collector, firstConnection, interruptions: 0 })
  }

  interrupted(): void {
    const life = this.#lives.at(-1)
    if (life !== undefined) life.interruptions += 1
  }

  /** Ended well. Cursors move in order: what was proven behind a shipment that still fails may come again. */
  stopped(): void {
    const life = this.#lives.at(-1)
    if (life !== undefined && count(life, FAILURE) > 0) this.interrupted()
  }

  get texts(): Iterable<string> {
    return this.#receptions.keys()
  }

  get events(): number {
    return this.#receptions.size
  }

  get doubled(): number {
    let doubled = 0
    for (const connections of this.#receptions.values()) doubled += connections.length - 1
    return doubled
  }

  get largest(): number {
    return Math.max(0, ...this.#linesOf.values())
  }

  /** What has come again and was not allowed to, life by life. */
  tooOften(inFlight: number): string[] {
    const comeAgain = new Map<Life, Set<number>>()
    for (const connections of this.#receptions.values()) {
      for (const connection of connections.slice(0, -1)) {
        const life = this.#lives.findLast(({ firstConnection }) => connection >= firstConnection)
        if (life !== undefined && !this.#failed.has(connection)) comeAgain.set(life, (comeAgain.get(life) ?? new Set()).add(connection))
      }
    }
    return [...comeAgain].flatMap(([life, connections]) => {
      const failures = count(life, FAILURE)
      const lost = count(life, /No longer a member of|Not everything in flight was proven/)
      const allowed = inFlight * (life.interruptions + lost) + failures
      if (connections.size <= allowed) return []
      return [`life ${this.#lives.indexOf(life)}: the events of the connections ${[...connections].join(', ')} came again, where ${allowed} were allowed`]
    })
  }
}

function count({ collector }: Life, message: RegExp): number {
  return collector.log.filter(({ msg }) => message.test(msg)).length
}
