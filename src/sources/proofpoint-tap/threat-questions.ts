import { hash } from 'node:crypto'
import { eventsOf, FINGERPRINT_BYTES, type Batch } from '../../pipeline/event.ts'
import type { Window } from '../../pipeline/unit.ts'
import type { FingerprintTable } from './fingerprints.ts'

/** A threat to ask for. */
export interface Question {
  readonly id: string
  /** Fingerprints by which it is known as asked once it has been: of its id, and of each status that it was seen with. */
  readonly keys: Uint8Array[]
  /** When the API first failed at it, by the monotonic clock; null: it has not. */
  failingSince: number | null
}

/** An id that could be the end of a URL; the real ones are 64 hexadecimal digits. */
const ID = /^[\w-]{1,256}$/

/**
 * Which threats are to be asked for: those that were not asked for since `seen` has forgotten them, and those that an event shows with a status in
 * which they were not known.
 */
export class ThreatQuestions {
  readonly #seen: FingerprintTable
  readonly #onOddId: (id: string) => void

  /** `onOddId`: what stands in the place of an id, and is none; told once, as an id is asked for once. */
  constructor(seen: FingerprintTable, onOddId: (id: string) => void) {
    this.#seen = seen
    this.#onOddId = onOddId
  }

  /** Those of these events. They count as asked from now on: whoever cannot ask owes a new table. */
  of(batches: readonly Batch[], window: Window): Question[] {
    const open = new Map<string, Question>()
    for (const batch of batches) {
      for (const event of eventsOf(batch)) {
        for (const { id, status } of threatsIn(event)) {
          if (!ID.test(id)) {
            if (this.#newKeys(id, '', window).length > 0) this.#onOddId(id)
            continue
          }
          const keys = this.#newKeys(id, status, window)
          if (keys.length === 0) continue
          const question = open.get(id)
          if (question === undefined) open.set(id, { id, keys, failingSince: null })
          else question.keys.push(...keys)
        }
      }
    }
    return [...open.values()]
  }

  /** The answer has told the status: an event that shows the threat so is no news. */
  answered({ id, keys }: Question, status: string, window: Window): void {
    keys.push(...this.#newKeys(id, status, window))
  }

  #newKeys(id: string, status: string, window: Window): Uint8Array[] {
    const texts = [id, ...(status === '' ? [] : [`${id} ${status.toLowerCase()}`])]
    return texts.map((text) => this.#add(text, window)).filter((key) => key !== null)
  }

  #add(text: string, window: Window): Uint8Array | null {
    const key = new Uint8Array(FINGERPRINT_BYTES)
    // A response of its own each time: else the second one of two equal keys would count as another.
    this.#seen.beginResponse(window)
    return this.#seen.add(hash('sha256', `threat ${text}`, 'binary'), key, 0) ? key : null
  }
}

/** A click names one threat, a message any number; the documented spelling and the real one differ. */
function* threatsIn(event: Uint8Array): Generator<{ readonly id: string; readonly status: string }, void, undefined> {
  const parsed: unknown = JSON.parse(Buffer.from(event.buffer, event.byteOffset, event.byteLength).toString())
  if (!isObject(parsed)) return
  const listed: unknown = parsed.threatsInfoMap
  const threats: readonly unknown[] = Array.isArray(listed) ? listed : []
  for (const threat of [parsed, ...threats]) {
    if (!isObject(threat)) continue
    const id = threat.threatID ?? threat.threatId
    const status = threat.threatStatus
    if (typeof id === 'string' && id !== '') yield { id, status: typeof status === 'string' ? status : '' }
  }
}

/** The `status` of a summary, '' where it has none. */
export function statusOf(summary: Uint8Array): string {
  const parsed: unknown = JSON.parse(Buffer.from(summary.buffer, summary.byteOffset, summary.byteLength).toString())
  return isObject(parsed) && typeof parsed.status === 'string' ? parsed.status : ''
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
