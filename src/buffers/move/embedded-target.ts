import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, renameSync, statSync } from 'node:fs'
import { hostname } from 'node:os'
import Database from 'better-sqlite3'
import { BufferFullError } from '../../pipeline/buffer.ts'
import { codeOf, describeError, FatalError } from '../../pipeline/errors.ts'
import type { BufferSnapshot } from '../../pipeline/buffer.ts'
import type { DeadLetter, Gap, ServiceState, Unit } from '../../pipeline/unit.ts'
import { ChunkLog } from '../embedded/chunks.ts'
import { createDatabase, databasePath, removeDatabase } from '../embedded/database.ts'
import { explainFailure, explainOpening } from '../embedded/failures.ts'
import { FolderLock } from '../embedded/lock.ts'
import { latestVersion, MIGRATIONS } from '../embedded/migrations.ts'
import { OutputTable } from '../embedded/outputs.ts'
import { PassedOver } from '../embedded/passed-over.ts'
import { ServiceTable } from '../embedded/services.ts'
import { syncFolder } from '../embedded/small-file.ts'

const MIB = 1024 * 1024

export interface ArrivingOutput {
  readonly name: string
  readonly open: boolean
  readonly provenAt: number
  readonly missedEvents: number
}

/** Where chunks of one kind end that were appended one after the other. */
export interface StageEnd {
  readonly needs: readonly string[]
  readonly lastChunk: number
  readonly lastEvent: number
}

/**
 * The embedded buffer that a move fills, in a file of its own beside its place (`buffer.db.moving`) until all is there; the folder is held
 * meanwhile. Errors as of EmbeddedStore, but that a disk or a limit that is too small is a FatalError here. The caller owes a `close`.
 */
export class EmbeddedTarget {
  readonly #dir: string
  readonly #path: string
  readonly #maxSizeBytes: number
  readonly #lock: FolderLock
  #filling: Filling | null = null

  constructor(dir: string, maxSizeBytes: number, now: number) {
    this.#dir = dir
    this.#path = databasePath(dir)
    this.#maxSizeBytes = maxSizeBytes
    try {
      mkdirSync(dir, { recursive: true, mode: 0o700 })
      this.#lock = new FolderLock(dir, now)
    } catch (error) {
      throw explainFailure(error, 'opening the state folder', dir)
    }
  }

  /** For people. */
  get place(): string {
    return `${hostname()}:${this.#dir}`
  }

  get path(): string {
    return this.#path
  }

  /** Of the move that has made the buffer in the folder: null where it began here, undefined where there is none. */
  moveId(): string | null | undefined {
    if (!existsSync(this.#path)) return undefined
    try {
      const db = new Database(this.#path, { readonly: true })
      try {
        if (Number(db.pragma('user_version', { simple: true })) !== latestVersion(MIGRATIONS)) return null
        return db.prepare<[], string | null>('SELECT move_id FROM log').pluck().get() ?? null
      } finally {
        db.close()
      }
    } catch (error) {
      throw explainOpening(error, 'reading', this.#path)
    }
  }

  /** Anew, whatever an earlier try has left. */
  begin(): void {
    if ((statSync(`${this.#path}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0)
      throw new FatalError(`${this.#path} is missing, but its log ${this.#path}-wal is there. Put the file back, or move the log away`, { code: 'BufferMissing' })
    this.#try(() => {
      removeDatabase(this.#moving)
      createDatabase(this.#moving, MIGRATIONS)
      this.#filling = new Filling(this.#moving)
    })
  }

  /** Durable only with `complete`. Throws FatalError where they do not fit. */
  append(units: readonly Omit<Unit, 'position' | 'deadLetters'>[], deadLetters: readonly DeadLetter[]): void {
    this.#write(({ chunks, outputs }) => {
      for (const unit of units) chunks.append(unit)
      outputs.addDeadLetters(deadLetters)
    })
    const size = this.#try(() => this.#open.size())
    if (size > this.#maxSizeBytes)
      throw new FatalError(
        `what is in Kafka and not delivered takes more than the ${Math.floor(this.#maxSizeBytes / MIB)} MB of the embedded buffer (max_size_in_mb). Raise that, ` +
          'or start the collector on Kafka again until its outputs have more',
        { code: 'MoveDoesNotFit' },
      )
  }

  /** Where the log ends, for StageEnd. */
  ends(): { readonly lastChunk: number; readonly lastEvent: number } {
    const { appendedChunk, appendedEvents } = this.#try(() => this.#open.chunks.ends())
    return { lastChunk: appendedChunk, lastEvent: appendedEvents }
  }

  addService(inputId: string, service: string, { settled, readAt, startTime, holes, seen }: ServiceState, gaps: readonly Gap[]): void {
    this.#write(({ services }) => {
      const move = (gaps: readonly Gap[], seen: Unit['position']['seen']): void =>
        services.move({ inputId, service, position: { settled, readAt, holes, gaps, seen, forgotten: [] } })
      services.start(inputId, service, settled, startTime)
      move(gaps, null)
      for (const ofWindow of seen) move([], ofWindow)
    })
  }

  addRequests(pools: BufferSnapshot['pools']): void {
    this.#write(({ db }) => {
      const add = db.prepare('INSERT INTO requests (pool, minute, requests) VALUES (?, ?, ?)')
      for (const { pool, minutes } of pools) for (const [minute, requests] of minutes) add.run(pool, minute, requests)
    })
  }

  /** After all chunks, which lie in stages one after the other: each output begins with the first that it needs, and passes over the others. */
  addOutputs(outputs: readonly ArrivingOutput[], stages: readonly StageEnd[]): void {
    this.#write(({ db, chunks, passedOver }) => {
      const add = db.prepare('INSERT INTO outputs (name, chunk, events, open, proven_at, missed_events) VALUES (?, ?, ?, ?, ?, ?)')
      for (const { name, open, provenAt, missedEvents } of outputs) {
        let before = { lastChunk: 0, lastEvent: 0 }
        for (const stage of stages) {
          const isEmpty = stage.lastChunk === before.lastChunk
          const run = { firstChunk: before.lastChunk + 1, lastChunk: stage.lastChunk, eventsBefore: before.lastEvent, eventsAfter: stage.lastEvent }
          if (!isEmpty && !stage.needs.includes(name)) passedOver.add(name, run)
          before = stage
        }
        const chunk = passedOver.behind(name, 0)
        add.run(name, chunk, chunks.eventsUpTo(chunk), open ? 1 : 0, provenAt, missedEvents)
        passedOver.forget(name, chunk)
      }
    })
  }

  /** All is there, and safe. */
  complete(moveId: string): void {
    this.#write(({ db }) => void db.prepare('UPDATE log SET move_id = ?, max_size_in_bytes = ?').run(moveId, this.#maxSizeBytes))
    this.#try(() => {
      this.#open.close()
      this.#filling = null
      const file = openSync(this.#moving, 'r')
      try {
        fsyncSync(file)
      } finally {
        closeSync(file)
      }
    })
  }

  /** From here on what was completed is the folder's buffer; all or nothing, whatever happens meanwhile. */
  putInPlace(): void {
    this.#try(() => {
      renameSync(this.#moving, this.#path)
      syncFolder(this.#dir)
    })
  }

  /** What is not in its place goes. */
  close(): void {
    try {
      this.#filling?.close()
      this.#filling = null
      removeDatabase(this.#moving)
    } finally {
      this.#lock.release()
    }
  }

  get #moving(): string {
    return `${this.#path}.moving`
  }

  get #open(): Filling {
    if (this.#filling === null) throw new Error('the move has not begun')
    return this.#filling
  }

  #write(work: (filling: Filling) => void): void {
    this.#try(() => this.#open.db.transaction(() => work(this.#open)).immediate())
  }

  #try<Result>(work: () => Result): Result {
    try {
      return work()
    } catch (error) {
      const explained = explainFailure(error, 'writing to', this.#moving)
      // Nobody waits here for room, as a collector does.
      if (!(explained instanceof BufferFullError)) throw explained
      throw new FatalError(`writing to ${this.#moving}: ${describeError(explained.cause)}. See to the disk and the folder first`, { code: codeOf(explained) ?? 'DiskFailed', cause: explained.cause })
    }
  }
}

/** The open file. Nothing of it counts before it is whole, so no commit waits for the disk. */
class Filling {
  readonly db: Database.Database
  readonly chunks: ChunkLog
  readonly services: ServiceTable
  readonly outputs: OutputTable
  readonly passedOver: PassedOver

  constructor(path: string) {
    this.db = new Database(path, { fileMustExist: true })
    this.db.pragma('synchronous = OFF')
    this.db.pragma('cache_size = -4096')
    this.chunks = new ChunkLog(this.db, path)
    this.services = new ServiceTable(this.db)
    this.passedOver = new PassedOver(this.db)
    this.outputs = new OutputTable(this.db, this.chunks, this.passedOver)
  }

  size(): number {
    return Number(this.db.pragma('page_count', { simple: true })) * Number(this.db.pragma('page_size', { simple: true }))
  }

  /** With the write-ahead log in the file. */
  close(): void {
    this.db.close()
  }
}
