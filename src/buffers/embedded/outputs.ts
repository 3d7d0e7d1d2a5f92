import type { Database, Statement } from 'better-sqlite3'
import type { OutputStart } from '../../pipeline/buffer.ts'
import type { DeadLetter } from '../../pipeline/unit.ts'
import type { ChunkLog } from './chunks.ts'

interface OutputRow {
  readonly name: string
  readonly chunk: number
  readonly events: number
}

export interface OpenedOutput {
  readonly name: string
  readonly chunk: number
  readonly missedEvents: number
}

/** How far every output is, and the dead letters. Callers own the transactions. */
export class OutputTable {
  readonly #log: ChunkLog
  readonly #all: Statement<[], OutputRow>
  readonly #closeAll: Statement
  readonly #open: Statement<[string, number, number, number]>
  readonly #commit: Statement<[number, number, number, string]>
  readonly #delivered: Statement<[], number | null>
  readonly #addDeadLetter: Statement<[string | null, string, string, number, string | null, number, string, number, Uint8Array, Uint8Array]>

  constructor(db: Database, log: ChunkLog) {
    this.#log = log
    this.#all = db.prepare('SELECT name, chunk, events FROM outputs')
    this.#closeAll = db.prepare('UPDATE outputs SET open = 0')
    this.#open = db.prepare(`INSERT INTO outputs (name, chunk, events, missed_events, open, proven_at) VALUES (?, ?, ?, ?, 1, 0)
      ON CONFLICT DO UPDATE SET chunk = excluded.chunk, events = excluded.events, missed_events = missed_events + excluded.missed_events, open = 1`)
    this.#commit = db.prepare('UPDATE outputs SET chunk = max(chunk, ?), events = max(events, ?), proven_at = ? WHERE name = ?')
    this.#delivered = db.prepare<[], number | null>('SELECT min(chunk) FROM outputs WHERE open = 1').pluck()
    this.#addDeadLetter = db.prepare(`INSERT INTO dead_letters (output, input_id, service, pulled_at, environment, at, reason, size, fingerprint, event)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
  }

  /** A known output goes on where it was, as far as the log still reaches; what it missed is told once, and added up for good. */
  open(outputs: readonly OutputStart[]): OpenedOutput[] {
    const known = new Map(this.#all.all().map((row) => [row.name, row]))
    const ends = this.#log.ends()
    this.#closeAll.run()
    return outputs.map(({ name, startFrom }) => {
      const row = known.get(name)
      let { chunk, events } = row ?? { chunk: 0, events: 0 }
      if (row === undefined && known.size > 0) {
        chunk = startFrom === 'now' ? ends.appendedChunk : ends.removedChunk
        events = startFrom === 'now' ? ends.appendedEvents : ends.removedEvents
      }
      const missedEvents = Math.max(0, ends.removedEvents - events)
      chunk = Math.max(chunk, ends.removedChunk)
      events = Math.max(events, ends.removedEvents)
      this.#open.run(name, chunk, events, missedEvents)
      return { name, chunk, missedEvents }
    })
  }

  /** The cursor never moves back: a late commit of an earlier shipment only adds its dead letters. */
  commit(name: string, chunk: number, deadLetters: readonly DeadLetter[], now: number): void {
    const { changes } = this.#commit.run(chunk, this.#log.eventsUpTo(chunk), now, name)
    if (changes === 0) throw new Error(`output ${name} is not known to the buffer`)
    this.addDeadLetters(deadLetters)
  }

  /** Up to and with this chunk every open output has everything. 0 while no output is open: then everything stays. */
  deliveredChunk(): number {
    return this.#delivered.get() ?? 0
  }

  addDeadLetters(deadLetters: readonly DeadLetter[]): void {
    for (const letter of deadLetters) {
      this.#addDeadLetter.run(
        letter.output, letter.inputId, letter.service, letter.pulledAt, letter.environment, letter.at, letter.reason, letter.size,
        letter.fingerprint, letter.event,
      )
    }
  }
}
