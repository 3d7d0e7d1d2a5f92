import { join } from 'node:path'
import { FatalError } from '../../pipeline/errors.ts'
import type { SavedReplay } from '../../pipeline/replay-store.ts'
import { explainFailure } from './failures.ts'
import { readSmallFile, removeSmallFile, writeSmallFile } from './small-file.ts'

/** Where replays beside an embedded buffer stand: a small file each in the state folder, until they have come to their end. */
export class ReplayFiles {
  readonly #dir: string

  constructor(dir: string) {
    this.#dir = dir
  }

  load(id: string): SavedReplay | null {
    const path = this.#path(id)
    const text = this.#tried('reading', path, () => readSmallFile(path))
    if (text === null) return null
    const saved = parse(text)
    if (saved === null) throw new FatalError(`${path} is damaged: it says how far a replay has come. Remove it, and begin the replay anew`, { code: 'ReplayPlaceDamaged' })
    return saved
  }

  save(id: string, saved: SavedReplay): void {
    const path = this.#path(id)
    this.#tried('writing', path, () => writeSmallFile(path, `${JSON.stringify(saved)}\n`))
  }

  remove(id: string): void {
    const path = this.#path(id)
    this.#tried('removing', path, () => removeSmallFile(path))
  }

  #path(id: string): string {
    return join(this.#dir, `replay-${id}.json`)
  }

  #tried<Result>(doing: string, path: string, work: () => Result): Result {
    try {
      return work()
    } catch (error) {
      throw explainFailure(error, doing, path)
    }
  }
}

function parse(text: string): SavedReplay | null {
  try {
    const parsed: unknown = JSON.parse(text)
    if (typeof parsed !== 'object' || parsed === null || !('request' in parsed) || !('run' in parsed) || !('cursors' in parsed)) return null
    const { request, run, cursors } = parsed
    if (typeof request !== 'string' || typeof run !== 'string' || typeof cursors !== 'object' || cursors === null) return null
    return { request, run, cursors: Object.fromEntries(Object.entries(cursors).map(([output, cursor]) => [output, String(cursor)])) }
  } catch {
    return null
  }
}
