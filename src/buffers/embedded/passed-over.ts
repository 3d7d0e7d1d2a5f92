import type { Database, Statement } from 'better-sqlite3'

/**
 * Chunks that an output passes over, for it had their events before they came here: those that came from Kafka, where each output has a place in
 * every partition. Both ends are among them; events are counted since the buffer began, as everywhere.
 */
export interface PassedRun {
  readonly firstChunk: number
  readonly lastChunk: number
  /** Of the chunks before the run, and with it. */
  readonly eventsBefore: number
  readonly eventsAfter: number
}

/** A run is kept until its output is behind it. Callers own the transactions. */
export class PassedOver {
  readonly #at: Statement<[string, number, number], number>
  readonly #next: Statement<[string, number], number | null>
  readonly #add: Statement<[string, number, number, number, number]>
  readonly #forget: Statement<[string, number]>

  constructor(db: Database) {
    this.#at = db.prepare<[string, number, number], number>('SELECT last_chunk FROM passed_over WHERE output = ? AND first_chunk <= ? AND last_chunk > ?').pluck()
    this.#next = db.prepare<[string, number], number | null>('SELECT min(first_chunk) FROM passed_over WHERE output = ? AND first_chunk > ?').pluck()
    this.#add = db.prepare('INSERT INTO passed_over (output, first_chunk, last_chunk, events_before, events_after) VALUES (?, ?, ?, ?, ?)')
    this.#forget = db.prepare('DELETE FROM passed_over WHERE output = ? AND last_chunk <= ?')
  }

  /** Where an output that has everything up to and with this chunk really is. */
  behind(output: string, chunk: number): number {
    let last = chunk
    for (;;) {
      const end = this.#at.get(output, last + 1, last)
      if (end === undefined) return last
      last = end
    }
  }

  /** The last chunk before the next run; Infinity where there is no run behind this chunk. */
  endOfStretch(output: string, chunk: number): number {
    return (this.#next.get(output, chunk) ?? Infinity) - 1
  }

  add(output: string, { firstChunk, lastChunk, eventsBefore, eventsAfter }: PassedRun): void {
    this.#add.run(output, firstChunk, lastChunk, eventsBefore, eventsAfter)
  }

  /** Those that the output is behind. */
  forget(output: string, chunk: number): void {
    this.#forget.run(output, chunk)
  }
}

/** SQL for a row of `outputs`: how many of the events between these two counts it passes over. */
export function passedEventsBetween(from: string, to: string): string {
  return `(SELECT coalesce(sum(max(0, min(passed_over.events_after, ${to}) - max(passed_over.events_before, ${from}))), 0)
    FROM passed_over WHERE passed_over.output = outputs.name)`
}
