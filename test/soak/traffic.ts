import { DAY_MS, HOUR_MS, MINUTE_MS, type TapArray } from '../../src/simulator/tap-api.ts'
import { makeObject, type TapObject } from '../../src/simulator/tap-event-shapes.ts'
import { Random } from '../../src/simulator/tap-random.ts'
import type { TapEvent } from '../../src/simulator/tap-store.ts'

/** Later than this after its creation nothing changes any more; below the look-back. */
export const SHOWN_WITHIN_MS = 40 * MINUTE_MS
const MOST_IN_AN_HOUR = 10

/** An event, or several that are the same byte for byte, as a run is to bring it. */
export interface ExpectedEvent {
  readonly key: string
  readonly service: TapArray | 'threats'
  /** What it came as that names it; of all but threats what it is itself. */
  readonly origin: TapArray
  readonly createdAt: number
  readonly copies: number
  /** Its content, whatever the order of the lists inside it. */
  readonly content: string
}

export interface Traffic {
  readonly events: readonly TapEvent[]
  readonly expected: ReadonlyMap<string, ExpectedEvent>
}

/** Unlike its id: one message has an event for each of its recipients. */
export function keyOf(service: string, object: Readonly<Record<string, unknown>>): string {
  if (service === 'threats') return `${service} ${String(object.id)}`
  return `${service} ${String(object.GUID)} ${JSON.stringify(object.recipient)}`
}

/** The same text for any order of the lists that have none. */
export function contentOf(object: Readonly<Record<string, unknown>>): string {
  const sorted = Object.entries(object).map(([name, value]) => {
    const isUnordered = (name === 'messageParts' || name === 'threatsInfoMap') && Array.isArray(value)
    return [name, isUnordered ? value.map((part) => JSON.stringify(part)).sort() : value]
  })
  return JSON.stringify(sorted.sort(([a], [b]) => String(a).localeCompare(String(b))))
}

/**
 * All events of [from, until): few, with a rhythm of days and bursts; late by up to 40 minutes, hidden and shown again, byte-identical, one for
 * each recipient, on the ends of minutes and hours. `summaryOf`: what the API says of the threats that they name; null: nobody asks.
 */
export function makeTraffic(seed: number, services: readonly TapArray[], from: number, until: number, summaryOf: ((id: string) => string | null) | null): Traffic {
  const events: TapEvent[] = []
  const expected = new Map<string, ExpectedEvent>()
  for (const service of services) {
    for (let hour = from; hour < until; hour += HOUR_MS) {
      const random = new Random(seed, 'traffic', service, hour / HOUR_MS)
      const isBurst = random.chance(0.03)
      const daylight = Math.max(0, Math.sin(((hour % DAY_MS) / DAY_MS - 0.25) * 2 * Math.PI))
      const wanted = isBurst ? MOST_IN_AN_HOUR : Math.floor(random.next() * (1 + 7 * daylight))
      const burstAt = hour + random.below(HOUR_MS)
      for (let made = 0; made < wanted; ) {
        const createdAt = isBurst ? Math.min(burstAt + random.below(MINUTE_MS), hour + HOUR_MS - 1) : creation(hour, random)
        const copies = Math.min(wanted - made, random.chance(0.12) ? 2 + random.below(2) : 1)
        const areRecipients = copies > 1 && random.chance(0.4)
        made += copies
        const object = makeObject(service, createdAt, random)
        for (let copy = 0; copy < copies; copy += 1) {
          const content = areRecipients ? { ...object, recipient: recipient(object, copy) } : object
          events.push({ service, createdAt, ...visibility(createdAt, random), content })
          const key = keyOf(service, content)
          const known = expected.get(key)
          for (const threat of summaryOf === null ? [] : threatsOf(content, summaryOf)) expected.set(threat.key, { ...threat, service: 'threats', origin: service, createdAt, copies: 1 })
          expected.set(key, { key, service, origin: service, createdAt, copies: (known?.copies ?? 0) + 1, content: known?.content ?? contentOf(content) })
        }
      }
    }
  }
  return { events: events.sort((a, b) => a.createdAt - b.createdAt), expected }
}

function threatsOf(content: TapObject, summaryOf: (id: string) => string | null): { readonly key: string; readonly content: string }[] {
  const listed: readonly unknown[] = Array.isArray(content.threatsInfoMap) ? content.threatsInfoMap : []
  return [content, ...listed].flatMap((threat) => {
    const id = typeof threat === 'object' && threat !== null && 'threatID' in threat && typeof threat.threatID === 'string' ? threat.threatID : ''
    const summary = summaryOf(id)
    if (summary === null) return []
    // The model's own text of an object.
    const object = JSON.parse(summary) as TapObject
    return [{ key: keyOf('threats', object), content: contentOf(object) }]
  })
}

function creation(hour: number, random: Random): number {
  const at = random.next()
  if (at < 0.03) return hour
  return at < 0.2 ? hour + random.below(60) * MINUTE_MS : hour + random.below(HOUR_MS)
}

function recipient({ recipient: first }: TapObject, copy: number): unknown {
  return Array.isArray(first) ? [`${copy}.${String(first[0])}`] : `${copy}.${String(first)}`
}

function visibility(createdAt: number, random: Random): Pick<TapEvent, 'visibleAt' | 'hidden'> {
  const end = createdAt + SHOWN_WITHIN_MS
  const lateMs = random.chance(0.3) ? SHOWN_WITHIN_MS - random.below(3 * MINUTE_MS) : random.below(SHOWN_WITHIN_MS)
  const visibleAt = random.chance(0.35) ? createdAt + lateMs : createdAt
  if (!random.chance(0.15) || end - visibleAt < MINUTE_MS) return { visibleAt }
  const hiddenFrom = visibleAt + random.below(end - visibleAt)
  return { visibleAt, hidden: [[hiddenFrom, hiddenFrom + 1 + random.below(end - hiddenFrom)]] }
}
