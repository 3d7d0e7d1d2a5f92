import { statfsSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import Database from 'better-sqlite3'
import { BufferFullError } from '../../pipeline/buffer.ts'
import { UNIT_MAX_BYTES } from '../../pipeline/unit.ts'
import type { Unit } from '../../pipeline/unit.ts'
import type { ChunkLog } from './chunks.ts'
import type { OutputTable } from './outputs.ts'

/** A step is at most so much: deleting reads what it deletes, and appends and reads wait meanwhile. */
const STEP_CHUNKS = 1024
const STEP_BYTES = 16 * 1024 * 1024
/** An append makes room in so many steps at most (the limit may have been lowered by gigabytes); `trim` does the rest. */
const STEPS_PER_APPEND = 16
const ROW_OVERHEAD_BYTES = 8192
/** Tree pages, position and fingerprints beside a unit's own bytes. */
const OVERHEAD_BYTES = 256 * 1024
/** The write-ahead log is taken into the file at so much, or at this share of a small limit. */
const CHECKPOINT_MAX_BYTES = 4 * 1024 * 1024
const CHECKPOINT_SHARE = 1 / 16
/** Free disk space that is left to commits and removals, which make room: without it a disk that the buffer filled itself would stay full. */
const DISK_RESERVE_BYTES = 1024 * 1024
/** Once full, it is full until this share of the limit is free (at most 64 MiB), or it would flap with every shipment. */
const HEADROOM_SHARE = 1 / 20
/** What services append that make room by it: as much as a page of events can bring, and one more. */
const FEED_UNITS = 2
const HEADROOM_MAX_BYTES = 64 * 1024 * 1024

interface OldChunk {
  readonly chunk: number
  readonly bytes: number
  readonly pulledAt: number
}

/**
 * Keeps the file within its limit and removes what every open output has: after the retention, or earlier where room is needed.
 * Free pages do not count (they are used again), the write-ahead log does. The file itself never grows past the limit.
 */
export class Room {
  readonly #db: Database.Database
  readonly #path: string
  readonly #retentionMs: number
  readonly #maxSizeBytes: number
  readonly #outputs: OutputTable
  readonly #oldest: Database.Statement<[number], OldChunk>
  readonly #removeUpTo: (chunk: number) => void
  readonly #pageBytes: number
  /** As for a full unit, scaled down for a tiny limit. */
  readonly #anyUnitBytes: number
  /** What the write-ahead log grows to before it is taken into the file. */
  readonly #walBytes: number
  #full = false
  /** Services append what they make of the buffer's events, and let these go by that: all others leave so much room that they always can. */
  hasFeeds = false

  constructor(db: Database.Database, path: string, limits: { retentionMs: number; maxSizeBytes: number }, log: ChunkLog, outputs: OutputTable) {
    this.#db = db
    this.#path = path
    this.#retentionMs = limits.retentionMs
    this.#maxSizeBytes = limits.maxSizeBytes
    this.#outputs = outputs
    this.#oldest = db.prepare(`SELECT chunk, bytes, pulled_at AS pulledAt FROM chunks WHERE chunk <= ? ORDER BY chunk LIMIT ${STEP_CHUNKS}`)
    const remove = db.transaction((chunk: number) => log.removeUpTo(chunk))
    this.#removeUpTo = (chunk) => remove.immediate(chunk)
    this.#pageBytes = Number(db.pragma('page_size', { simple: true }))
    this.#anyUnitBytes = Math.min(UNIT_MAX_BYTES, limits.maxSizeBytes / 8)
    const checkpointBytes = Math.min(CHECKPOINT_MAX_BYTES, limits.maxSizeBytes * CHECKPOINT_SHARE)
    db.pragma(`wal_autocheckpoint = ${Math.ceil(checkpointBytes / this.#pageBytes)}`)
    this.#walBytes = checkpointBytes + this.#anyUnitBytes + OVERHEAD_BYTES
  }

  /** Makes room for an append of so many bytes, oldest delivered events first; throws BufferFullError where there is none. */
  ensure(bytes: number, ofFeed: boolean): void {
    const needed = bytes + OVERHEAD_BYTES
    const headroom = ofFeed ? 0 : this.#headroom()
    for (let step = 0; ; step += 1) {
      const shortage = this.#shortage(needed, headroom)
      if (shortage === null) break
      if (step === 0) this.truncateLog()
      else if (step > STEPS_PER_APPEND || !this.#removeStep(needed + headroom, () => true)) {
        this.#full ||= !ofFeed
        throw shortage
      }
    }
    if (!ofFeed) this.#full = false
  }

  ensureForAnyUnit(ofFeed: boolean): void {
    this.ensure(this.#anyUnitBytes, ofFeed)
  }

  /** Removes one small step of what every open output has: past its retention, or over the limit. True: there may be more to do. */
  trim(now: number): boolean {
    const isOverLimit = sizeInBytes(this.#db, this.#path) > this.#maxSizeBytes
    // A pull from the far future was stamped by a clock that was wrong; it must not keep all that follows.
    return this.#removeStep(STEP_BYTES, (chunk) => isOverLimit || Math.abs(now - chunk.pulledAt) > this.#retentionMs)
  }

  /** Takes the write-ahead log into the file and empties it; a reader that is just reading prevents that, which is no harm. */
  truncateLog(): void {
    this.#db.pragma('busy_timeout = 0')
    try {
      this.#db.pragma('wal_checkpoint(TRUNCATE)')
    } catch (error) {
      if (!(error instanceof Database.SqliteError) || !/^SQLITE_(BUSY|LOCKED|FULL)/.test(error.code)) throw error
    } finally {
      this.#db.pragma('busy_timeout = 5000')
    }
  }

  #headroom(): number {
    const againstFlapping = this.#full ? Math.min(this.#maxSizeBytes * HEADROOM_SHARE, HEADROOM_MAX_BYTES) : 0
    return againstFlapping + (this.hasFeeds ? FEED_UNITS * (this.#anyUnitBytes + OVERHEAD_BYTES) : 0)
  }

  #shortage(needed: number, headroom: number): BufferFullError | null {
    // Free pages are used again, so the file grows only as far as this allows; the log's share is set aside, whatever it holds now.
    const size = usedBytes(this.#db) + Math.max(walBytes(this.#path), this.#walBytes)
    if (size + needed + headroom > this.#maxSizeBytes) {
      return new BufferFullError(
        `the buffer ${this.#path} is full: ${megabytes(size)} of ${megabytes(this.#maxSizeBytes)} MB (max_size_in_mb), by events that an output has ` +
          'not delivered. Fetching waits and goes on by itself; see to that output, switch it off, or raise the limit',
        { code: 'BufferFull' },
      )
    }
    const { bavail, bsize } = statfsSync(dirname(this.#path))
    const free = bavail * bsize
    const reusable = Number(this.#db.pragma('freelist_count', { simple: true })) * this.#pageBytes
    // Once in the write-ahead log, and once more in the file as far as it has no free pages.
    if (free < needed + Math.max(0, needed - reusable) + DISK_RESERVE_BYTES) {
      return new BufferFullError(`the disk of the buffer ${this.#path} is full: ${megabytes(free)} MB are free. Fetching waits and goes on by itself; free some space there`, { code: 'DiskFull' })
    }
    return null
  }

  #removeStep(enoughBytes: number, mayGo: (chunk: OldChunk) => boolean): boolean {
    let last = 0
    let bytes = 0
    for (const chunk of this.#oldest.all(this.#outputs.deliveredChunk())) {
      if (bytes >= Math.min(enoughBytes, STEP_BYTES) || !mayGo(chunk)) break
      last = chunk.chunk
      bytes += chunk.bytes
    }
    if (last === 0) return false
    this.#removeUpTo(last)
    return true
  }
}

/** What a unit will take in the file, about. */
export function unitBytes(unit: Unit): number {
  let bytes = unit.position.seen?.fingerprints.length ?? 0
  for (const chunk of unit.chunks) {
    const own = chunk.lines.length + chunk.fingerprints.length
    // The last page of a large row is half empty on average; small rows share a page.
    bytes += own + Math.min(own, ROW_OVERHEAD_BYTES)
  }
  for (const letter of unit.deadLetters) bytes += letter.event.length
  return bytes
}

/** Pages in use and the write-ahead log. */
export function sizeInBytes(db: Database.Database, path: string): number {
  return usedBytes(db) + walBytes(path)
}

function usedBytes(db: Database.Database): number {
  const pages = Number(db.pragma('page_count', { simple: true })) - Number(db.pragma('freelist_count', { simple: true }))
  return pages * Number(db.pragma('page_size', { simple: true }))
}

function walBytes(path: string): number {
  return statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0
}

function megabytes(bytes: number): string {
  return (bytes / (1024 * 1024)).toFixed(bytes < 10 * 1024 * 1024 ? 1 : 0)
}
