import { mkdirSync, statSync } from 'node:fs'
import type { Database } from 'better-sqlite3'
import type { BufferSnapshot, OutputStart } from '../../pipeline/buffer.ts'
import { FatalError } from '../../pipeline/errors.ts'
import type { MinuteLimit } from '../../pipeline/source.ts'
import type { DeadLetter, ServiceState, Unit } from '../../pipeline/unit.ts'
import { ChunkLog } from './chunks.ts'
import type { LogEnds, Page, PageRequest } from './chunks.ts'
import { databasePath, openDatabase } from './database.ts'
import { explainFailure, explainOpening } from './failures.ts'
import { FolderLock } from './lock.ts'
import { MIGRATIONS } from './migrations.ts'
import type { Migration } from './migrations.ts'
import { OutputTable } from './outputs.ts'
import type { OpenedOutput } from './outputs.ts'
import { PassedOver } from './passed-over.ts'
import { RequestLog } from './requests.ts'
import { Room, unitBytes } from './room.ts'
import { ServiceTable } from './services.ts'
import { takeSnapshot } from './snapshot.ts'

export interface StoreOptions {
  readonly dir: string
  readonly retentionMs: number
  readonly maxSizeBytes: number
  /** Wall clock at the opening, epoch milliseconds; only for the message to whom this folder is closed. */
  readonly now: number
}

/**
 * The embedded buffer, synchronous: every method is one transaction or one read. Runs in a worker thread (worker.ts), or directly where
 * blocking does no harm (the simulation). Every failure is a BufferFullError, RetryableError or FatalError, or else a bug.
 */
export class EmbeddedStore {
  readonly #path: string
  readonly #inode: number
  readonly #lock: FolderLock
  readonly #db: Database
  readonly #log: ChunkLog
  readonly #services: ServiceTable
  readonly #outputs: OutputTable
  readonly #requests: RequestLog
  readonly #room: Room
  readonly #maxSizeBytes: number

  /** Throws FatalError where only a person can help (in use, damaged, newer), RetryableError while the folder is full or read-only. */
  constructor(options: StoreOptions, migrations: readonly Migration[] = MIGRATIONS) {
    const { dir } = options
    this.#path = databasePath(dir)
    this.#maxSizeBytes = options.maxSizeBytes
    try {
      makeFolder(dir)
      this.#lock = new FolderLock(dir, options.now)
    } catch (error) {
      throw explainFailure(error, 'opening the state folder', dir)
    }
    let db: Database | null = null
    try {
      db = openDatabase(dir, migrations)
      this.#db = db
      this.#inode = statSync(this.#path).ino
      this.#log = new ChunkLog(db, this.#path)
      this.#services = new ServiceTable(db)
      this.#outputs = new OutputTable(db, this.#log, new PassedOver(db))
      this.#requests = new RequestLog(db)
      this.#room = new Room(db, this.#path, options, this.#log, this.#outputs)
      db.prepare('UPDATE log SET max_size_in_bytes = ? WHERE max_size_in_bytes <> ?').run(options.maxSizeBytes, options.maxSizeBytes)
    } catch (error) {
      db?.close()
      this.#lock.release()
      throw explainOpening(error, 'opening', this.#path)
    }
  }

  ends(): LogEnds {
    return this.#try('reading', () => this.#log.ends())
  }

  loadService(inputId: string, service: string): ServiceState | null {
    return this.#try('reading', () => this.#services.load(inputId, service))
  }

  startService(inputId: string, service: string, settled: number, startTime: number | null): void {
    this.#write(() => this.#services.start(inputId, service, settled, startTime))
  }

  assertRoom(ofFeed: boolean): LogEnds {
    return this.#try('making room in', () => {
      this.#assertInPlace()
      this.#room.ensureForAnyUnit(ofFeed)
      this.#outputs.assertRoomForDeadLetters(null, this.#maxSizeBytes)
      return this.#log.ends()
    })
  }

  append(unit: Unit): LogEnds {
    this.#try('making room in', () => {
      this.#assertInPlace()
      this.#room.ensure(unitBytes(unit), unit.readTo !== undefined)
    })
    return this.#write(() => {
      if (unit.deadLetters.length > 0) this.#outputs.assertRoomForDeadLetters(null, this.#maxSizeBytes)
      this.#log.append(unit)
      this.#outputs.addDeadLetters(unit.deadLetters)
      this.#services.move(unit)
      return this.#log.ends()
    })
  }

  openOutputs(outputs: readonly OutputStart[]): OpenedOutput[] {
    const opened = this.#write(() => this.#outputs.open(outputs))
    this.#room.hasFeeds = outputs.some(({ feedsService }) => feedsService === true)
    return opened
  }

  page(request: PageRequest, output: string): Page {
    return this.#try('reading', () => this.#log.page(request, output))
  }

  commit(output: string, chunk: number, deadLetters: readonly DeadLetter[], now: number): void {
    this.#write(() => {
      if (deadLetters.length > 0) this.#outputs.assertRoomForDeadLetters(output, this.#maxSizeBytes)
      this.#outputs.commit(output, chunk, deadLetters, now)
    })
  }

  loadRequests(pool: string): [minute: number, requests: number][] {
    return this.#try('reading', () => this.#requests.load(pool))
  }

  countRequest(pool: string, minute: number, forgetBefore: number, limits?: readonly MinuteLimit[]): boolean {
    return this.#write(() => this.#requests.count(pool, minute, forgetBefore, limits))
  }

  snapshot(): BufferSnapshot {
    return this.#try('reading', () => takeSnapshot(this.#db, this.#path))
  }

  /** One small step of removing what is delivered and old. `more`: call again soon. */
  trim(now: number): { readonly more: boolean; readonly ends: LogEnds } {
    return this.#try('removing delivered events from', () => ({ more: this.#room.trim(now), ends: this.#log.ends() }))
  }

  /** For quiet times: empties the write-ahead log. */
  truncateLog(): void {
    this.#try('writing to', () => this.#room.truncateLog())
  }

  close(): void {
    if (!this.#db.open) return
    try {
      this.#db.close()
    } finally {
      this.#lock.release()
    }
  }

  #write<Result>(work: () => Result): Result {
    return this.#try('writing to', () => this.#db.transaction(work).immediate())
  }

  #try<Result>(doing: string, work: () => Result): Result {
    try {
      return work()
    } catch (error) {
      throw explainFailure(error, doing, this.#path)
    }
  }

  /** SQLite goes on writing to a file that was removed under it, and all of it would be gone at the next start. */
  #assertInPlace(): void {
    if (statSync(this.#path, { throwIfNoEntry: false })?.ino === this.#inode) return
    throw new FatalError(`the buffer ${this.#path} was moved or replaced while in use. Stop the collector before you touch its state folder; put the file back before you start it`, { code: 'BufferReplaced' })
  }
}

function makeFolder(dir: string): void {
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 })
  } catch {
    // On a read-only disk Node says ENOENT of a recursive one; this says what is wrong.
    mkdirSync(dir, { mode: 0o700 })
  }
}
