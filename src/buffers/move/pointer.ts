import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { FatalError } from '../../pipeline/errors.ts'
import { readSmallFile, removeSmallFile, writeSmallFile } from '../embedded/small-file.ts'

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
  const text = readSmallFile(pointerPath(dir))
  if (text === null) return null
  const pointer = parse(text)
  if (pointer === null) throw new FatalError(`${pointerPath(dir)} is damaged: it says which Kafka topics hold this folder's events. Remove it if they are not wanted`, { code: 'MovePlaceDamaged' })
  return pointer
}

/** Durable once returned; a kill leaves the file as it was or as it is to be. Writes only what is new. Throws the file system's error. */
export function writePointer(dir: string, pointer: KafkaPointer): void {
  const text = `${JSON.stringify(pointer)}\n`
  const path = pointerPath(dir)
  if (textAt(path) === text) return
  writeSmallFile(path, text)
}

/** Durable once returned; nothing where there is none. */
export function removePointer(dir: string): void {
  if (textAt(pointerPath(dir)) === null) return
  removeSmallFile(pointerPath(dir))
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
