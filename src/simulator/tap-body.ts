import type { TapArray } from './tap-api.ts'
import { Random } from './tap-random.ts'
import type { EventSlots, TapEvent } from './tap-store.ts'

const CHUNK_CHARACTERS = 64 * 1024

export interface BodyPlan {
  /** As it is written into the envelope. */
  readonly queryEndTime: string
  /** Whether it comes behind the arrays. */
  readonly queryEndLast: boolean
  /** The arrays in their order, each with its events or with the JSON text that takes its place. */
  readonly arrays: readonly (readonly [array: TapArray, content: EventSlots | string])[]
  readonly matches: (event: TapEvent) => boolean
  /** Orders differ where seeds differ; null: everything as it is stored. */
  readonly orderSeed: readonly number[] | null
  /** Written behind the envelope. */
  readonly trailing: string
}

/** The JSON envelope in pieces of some 64 KiB. Events are made while it is read, and every reading gives the same bytes. */
export function jsonBody(plan: BodyPlan): Iterable<Uint8Array> {
  return { [Symbol.iterator]: () => collect(envelope(plan)) }
}

/** One line of syslog for each event, as the API's default format has it; in the plainest form, for nobody should read it. */
export function syslogBody(plan: BodyPlan): Iterable<Uint8Array> {
  return { [Symbol.iterator]: () => collect(syslogLines(plan)) }
}

function* envelope(plan: BodyPlan): Generator<string | Uint8Array, void, undefined> {
  const queryEnd = `"queryEndTime":${JSON.stringify(plan.queryEndTime)}`
  yield plan.queryEndLast ? '{' : `{${queryEnd}`
  let comma = plan.queryEndLast ? '' : ','
  for (const [array, content] of plan.arrays) {
    yield `${comma}"${array}":`
    comma = ','
    if (typeof content === 'string') {
      yield content
      continue
    }
    yield '['
    let separator = ''
    for (const [event, random] of eventsOf(array, content, plan)) {
      yield separator
      yield writeEvent(event, random)
      separator = ','
    }
    yield ']'
  }
  yield `${plan.queryEndLast ? comma + queryEnd : ''}}${plan.trailing}`
}

function* syslogLines(plan: BodyPlan): Generator<string | Uint8Array, void, undefined> {
  for (const [array, content] of plan.arrays) {
    if (typeof content === 'string') continue
    for (const [event, random] of eventsOf(array, content, plan)) {
      yield `<38>1 ${new Date(event.createdAt).toISOString()} - ProofpointTAP - ${array} - `
      yield writeEvent(event, random)
      yield '\n'
    }
  }
}

function* eventsOf(array: TapArray, slots: EventSlots, { matches, orderSeed }: BodyPlan): Generator<[TapEvent, Random | null], void, undefined> {
  const random = orderSeed === null ? null : new Random(...orderSeed, array)
  const order = random === null ? Array.from({ length: slots.length }, (_, index) => index) : random.order(slots.length)
  for (const index of order) {
    const event = slots.at(index)
    if (event !== null && matches(event)) yield [event, random]
  }
}

/** The event's bytes or text, with the lists that have no order in any order. */
function writeEvent({ content, style = 'plain' }: TapEvent, random: Random | null): string | Uint8Array {
  if (typeof content === 'string' || content instanceof Uint8Array) return content
  const text = JSON.stringify(random === null ? content : reordered(content, random), null, style === 'spaced' ? 1 : 0)
  return style === 'escaped' ? escapeAll(text) : text
}

function reordered(content: object, random: Random): object {
  const copy: Record<string, unknown> = { ...content }
  for (const name of ['messageParts', 'threatsInfoMap']) {
    const list = copy[name]
    if (Array.isArray(list)) copy[name] = random.shuffled(list)
  }
  return copy
}

function escapeAll(text: string): string {
  return text.replaceAll('/', '\\/').replaceAll(/[^\u0000-\u007f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** Joins small pieces, so that the reader gets few large ones. */
function* collect(pieces: Iterable<string | Uint8Array>): Generator<Uint8Array, void, undefined> {
  let text = ''
  for (const piece of pieces) {
    if (typeof piece === 'string') text += piece
    if (typeof piece === 'string' && text.length < CHUNK_CHARACTERS) continue
    if (text !== '') yield Buffer.from(text)
    text = ''
    if (typeof piece !== 'string') yield piece
  }
  if (text !== '') yield Buffer.from(text)
}
