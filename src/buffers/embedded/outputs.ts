import type { Database, Statement } from 'better-sqlite3'
import type { OutputStart } from '../../pipeline/buffer.ts'
import type { DeadLetter } from '../../pipeline/unit.ts'
import type { ChunkLog } from './chunks.ts'
import { DeadLetterTable } from './dead-letters.ts'
import { passedEventsBetween, type PassedOver } from './passed-over.ts'

interface OutputRow {
  readonly name: string
  readonly chunk: number
  readonly missedEvents: number
}

export interface OpenedOutput {
  readonly name: string
  readonly chunk: number
  readonly missedEvents: number
}

/** How far every output is, and the dead letters. Callers own the transactions. */
export class OutputTable {
  readonly #log: ChunkLog
  readonly #passedOver: PassedOver
  readonly #all: Statement<[], OutputRow>
  readonly #closeAll: Statement
  readonly #open: Statement<[string, number, number, number]>
  readonly #commit: Statement<[number, number, number, string]>
  readonly #delivered: Statement<[], number | null>
  readonly #deadLetters: DeadLetterTable

  constructor(db: Database, log: ChunkLog, passedOver: PassedOver) {
    this.#log = log
    this.#passedOver = passedOver
    this.#all = db.prepare(`SELECT name, chunk,
      max(0, log.removed_events - events - ${passedEventsBetween('events', 'log.removed_events')}) AS missedEvents FROM outputs, log`)
    this.#closeAll = db.prepare('UPDATE outputs SET open = 0')
    this.#open = db.prepare(`INSERT INTO outputs (name, chunk, events, missed_events, open, proven_at) VALUES (?, ?, ?, ?, 1, 0)
      ON CONFLICT DO UPDATE SET chunk = excluded.chunk, events = excluded.events, missed_events = missed_events + excluded.missed_events, open = 1`)
    this.#commit = db.prepare('UPDATE outputs SET chunk = max(chunk, ?), events = max(events, ?), proven_at = ? WHERE name = ?')
    this.#delivered = db.prepare<[], number | null>('SELECT min(chunk) FROM outputs WHERE open = 1').pluck()
    this.#deadLetters = new DeadLetterTable(db)
  }

  /** A known output goes on where it was, as far as the log still reaches; what it missed is told once, and added up for good. */
  open(outputs: readonly OutputStart[]): OpenedOutput[] {
    const known = new Map(this.#all.all().map((row) => [row.name, row]))
    const ends = this.#log.ends()
    this.#closeAll.run()
    return outputs.map(({ name, startFrom }) => {
      const row = known.get(name)
      const isFirstStart = known.size === 0
      // Those of a first start begin with the first event: what is gone by then was missed.
      const start = row ?? { chunk: startFrom === 'now' && !isFirstStart ? ends.appendedChunk : ends.removedChunk, missedEvents: isFirstStart ? ends.removedEvents : 0 }
      const chunk = this.#passedOver.behind(name, Math.max(start.chunk, ends.removedChunk))
      this.#open.run(name, chunk, this.#log.eventsUpTo(chunk), start.missedEvents)
      this.#passedOver.forget(name, chunk)
      return { name, chunk, missedEvents: start.missedEvents }
    })
  }

  /** The cursor never moves back: a late commit of an earlier shipment only adds its dead letters. */
  commit(name: string, chunk: number, deadLetters: readonly DeadLetter[], now: number): void {
    // Behind what it passes over at once: chunks there would else be kept for it until the next event.
    const behind = this.#passedOver.behind(name, chunk)
    const { changes } = this.#commit.run(behind, this.#log.eventsUpTo(behind), now, name)
    if (changes === 0) throw new Error(`output ${name} is not known to the buffer`)
    this.#passedOver.forget(name, behind)
    this.addDeadLetters(deadLetters)
  }

  /** Up to and with this chunk every open output has everything. 0 while no output is open: then everything stays. */
  deliveredChunk(): number {
    return this.#delivered.get() ?? 0
  }

  addDeadLetters(deadLetters: readonly DeadLetter[]): void {
    this.#deadLetters.add(deadLetters)
  }

  /** Throws RetryableError where the output (null: the source) may add no more dead letters to a buffer of this size. */
  assertRoomForDeadLetters(output: string | null, maxSizeBytes: number): void {
    this.#deadLetters.assertRoom(output, maxSizeBytes)
  }
}
