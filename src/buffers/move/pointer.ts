import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { FatalError } from '../../pipeline/errors.ts'

/** Says where the events of a state folder are, once its collector keeps them in Kafka. */
export interface KafkaPointer {
  readonly topicPrefix: string
  readonly brokers: readonly string[]
  /** The identity of the `buffer.db` whose content was moved there; null where none ever was. Kept for good: the file may be put back. */
  readonly movedFrom: string | null
  /** Of the move from there to this folder that was begun; null where there is none, or it failed. */
  readonly moveId?: string
}

/** A small file of its own in the state folder; people may read it, and remove it to begin anew. */
export function pointerPath(dir: string): string {
  return join(dir, 'kafka-buffer.json')
}

/** Null where the folder has none. Throws FatalError on a file that is none of ours. */
export function readPointer(dir: string): KafkaPointer | null {
  let text: string
  try {
    text = readFileSync(pointerPath(dir), 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) return null
    throw error
  }
  const pointer = parse(text)
  if (pointer === null) throw new FatalError(`${pointerPath(dir)} is damaged: it says which Kafka topics hold this folder's events. Remove it if they are not wanted`)
  return pointer
}

/** Durable once returned; a kill leaves the file as it was or as it is to be. Writes only what is new. Throws the file system's error. */
export function writePointer(dir: string, pointer: KafkaPointer): void {
  const text = `${JSON.stringify(pointer)}\n`
  const path = pointerPath(dir)
  if (textAt(path) === text) return
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const unfinished = `${path}.unfinished`
  rmSync(unfinished, { force: true })
  const file = openSync(unfinished, 'wx', 0o600)
  try {
    writeSync(file, text)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  renameSync(unfinished, path)
  syncFolder(dir)
}

/** Durable once returned; nothing where there is none. */
export function removePointer(dir: string): void {
  if (textAt(pointerPath(dir)) === null) return
  rmSync(pointerPath(dir), { force: true })
  syncFolder(dir)
}

/** Makes the names in a folder durable. */
export function syncFolder(dir: string): void {
  const folder = openSync(dir, 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}

function textAt(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null
  }
}

function parse(text: string): KafkaPointer | null {
  try {
    const parsed: unknown = JSON.parse(text)
    if (typeof parsed !== 'object' || parsed === null || !('topicPrefix' in parsed) || !('brokers' in parsed)) return null
    const { topicPrefix, brokers } = parsed
    const movedFrom = 'movedFrom' in parsed ? parsed.movedFrom : null
    const moveId = 'moveId' in parsed ? parsed.moveId : null
    if (typeof topicPrefix !== 'string' || !Array.isArray(brokers)) return null
    return {
      topicPrefix,
      brokers: brokers.map(String),
      movedFrom: typeof movedFrom === 'string' ? movedFrom : null,
      ...(typeof moveId === 'string' && { moveId }),
    }
  } catch {
    return null
  }
}
