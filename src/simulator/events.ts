import { HOUR_MS, TAP_ARRAYS } from './tap-api.ts'
import type { TapArray } from './tap-api.ts'
import { makeNasty, HOSTILE } from './tap-event-nasty.ts'
import { address, makeObject, uuid } from './tap-event-shapes.ts'
import { Random } from './tap-random.ts'
import type { EventSlots, TapEvent, TapEventSupply } from './tap-store.ts'

export interface TrafficOptions {
  readonly seed: number
  /** Events of a service created in an hour: a number, or a function of the service and the start of the hour. May be a fraction. */
  readonly perHour: number | ((service: TapArray, hour: number) => number)
  /** Only created in [from, until), epoch milliseconds; left out: always. */
  readonly from?: number
  readonly until?: number
  /** The share of odd but allowed events (mojibake, big numbers, missing ids, ...). */
  readonly nasty?: number
  /** The share that comes twice: half of them byte for byte, half of them for another recipient (same GUID, another id). */
  readonly twins?: number
  /** The share that is shown late, by up to `lateByMs` after its creation. */
  readonly late?: number
  readonly lateByMs?: number
}

/**
 * Endless traffic that is never kept: an event is made from the seed, its hour and its number whenever it is asked for, always the same one.
 * So a window of 300 MB or a catch-up of 200,000 events takes no memory.
 */
export class TapTraffic implements TapEventSupply {
  readonly #options: TrafficOptions

  constructor(options: TrafficOptions) {
    this.#options = options
  }

  /** In the order of their creation; both ends inclusive. What a client should have got, before any threat filter. */
  *between(service: TapArray, from: number, to: number): Generator<TapEvent, void, undefined> {
    const slots = this.slots(service, from, to)
    for (let index = 0; index < slots.length; index += 1) {
      const event = slots.at(index)
      if (event !== null && event.createdAt >= from && event.createdAt <= to) yield event
    }
  }

  slots(service: TapArray, from: number, to: number): EventSlots {
    const ranges: { readonly hour: number; readonly first: number; readonly length: number; readonly count: number }[] = []
    for (let hour = Math.floor(from / HOUR_MS) * HOUR_MS; hour <= to; hour += HOUR_MS) {
      const count = this.#countIn(service, hour)
      // An event lies in its own slot of the hour, a twin in the slot before its own.
      const first = Math.max(0, Math.floor(((from - hour) * count) / HOUR_MS))
      const last = Math.min(count - 1, Math.floor(((to - hour) * count) / HOUR_MS) + 1)
      if (last >= first) ranges.push({ hour, first, length: last - first + 1, count })
    }
    return {
      length: ranges.reduce((sum, range) => sum + range.length, 0),
      at: (index) => {
        let rest = index
        for (const { hour, first, length, count } of ranges) {
          if (rest < length) return this.#event(service, hour, first + rest, count)
          rest -= length
        }
        return null
      },
    }
  }

  #countIn(service: TapArray, hour: number): number {
    const { seed, perHour } = this.#options
    const rate = typeof perHour === 'number' ? perHour : perHour(service, hour)
    const whole = Math.floor(rate)
    return whole + (rate > whole && new Random(seed, TAP_ARRAYS.indexOf(service), hour).chance(rate - whole) ? 1 : 0)
  }

  #event(service: TapArray, hour: number, number: number, count: number): TapEvent | null {
    const { seed, nasty = 0, twins = 0, late = 0, lateByMs = 0, from = -Infinity, until = Infinity } = this.#options
    // An odd number may be the twin of the even one before it.
    const draw = number % 2 === 1 && twins > 0 ? new Random(seed, TAP_ARRAYS.indexOf(service), hour, number, 'twin').next() / 2 : 1
    const isTwin = draw < twins
    const random = new Random(seed, TAP_ARRAYS.indexOf(service), hour, isTwin ? number - 1 : number)
    const createdAt = hour + Math.floor(((isTwin ? number - 1 : number) + random.next()) * (HOUR_MS / count))
    if (createdAt < from || createdAt >= until) return null
    const visibleAt = random.chance(late) ? createdAt + random.below(lateByMs) : createdAt
    const object = makeObject(service, createdAt, random)
    if (isTwin && draw < twins / 2) {
      object.id = uuid(new Random(seed, hour, number, 'id'))
      object.recipient = Array.isArray(object.recipient) ? [address(random)] : address(random)
      return { service, createdAt, visibleAt, content: object }
    }
    return { service, createdAt, visibleAt, ...(random.chance(nasty) ? makeNasty(object, random) : { content: object }) }
  }
}

/** Elements that no client can deliver as events (not an object, 20 MB, 10,000 levels, not UTF-8, ...), by their kind. */
export function hostileEvent(kind: keyof typeof HOSTILE, service: TapArray, createdAt: number): TapEvent {
  const make = HOSTILE[kind]
  if (make === undefined) throw new Error(`there is no hostile event '${kind}'; known are ${Object.keys(HOSTILE).join(', ')}`)
  return { service, createdAt, content: make() }
}

export const HOSTILE_KINDS: readonly string[] = Object.keys(HOSTILE)
