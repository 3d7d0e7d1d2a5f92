import { readerOf, type Gap, type Hole, type SeenFingerprints, type Unit, type Window } from '../../pipeline/unit.ts'

/** One record of the state topic; a null value is a tombstone. */
export interface StateRecord {
  readonly key: string
  readonly value: Buffer | null
}

export interface SavedPosition {
  readonly settled: number
  readonly readAt: number
  readonly startTime: number | null
  readonly holes: readonly Hole[]
}

/** What is known of an output: where it began, partition by partition, and what the topic's retention took from it. */
export interface SavedOutput {
  readonly begin: Readonly<Record<string, number>>
  readonly missedEvents: number
  /** On in the collectors that used the buffer last. */
  readonly open: boolean
}

/** Written with the first start: tells that this state was made here, by this version, and not lost since. */
export interface Layout {
  readonly version: number
  /** Where the content has gone or is going: nothing here is true any longer. */
  readonly departure?: Departure
}

/** To an embedded buffer. */
export interface Departure {
  /** Of the move, which the embedded buffer keeps too. */
  readonly id: string
  /** `host:folder`, for people. */
  readonly to: string
  /** Epoch milliseconds. */
  readonly at: number
}

/** How far the content of an embedded buffer has come that is being moved here; kept when it is done. */
export interface SavedMove {
  /** The identity of the source: the same file with the same content goes on where this ended. */
  readonly from: string
  /** `host:path` of the source, for people. */
  readonly source: string
  /** The section of the plan, the last chunk of it that is here, and the last dead letter. */
  readonly section: number
  readonly chunk: number
  readonly deadLetter: number
  /** By output: from where in each partition on it gets everything, as far as that is known. */
  readonly begin: Readonly<Record<string, Readonly<Record<string, number>>>>
  readonly done: boolean
}

export type StateKey =
  | { readonly kind: 'position'; readonly inputId: string; readonly service: string }
  | { readonly kind: 'gap'; readonly inputId: string; readonly service: string; readonly window: Window }
  | { readonly kind: 'seen'; readonly inputId: string; readonly service: string; readonly window: Window; readonly n: number }
  | { readonly kind: 'requests'; readonly pool: string; readonly minute: number; readonly writer: string }
  | { readonly kind: 'output'; readonly name: string }
  | { readonly kind: 'layout' }
  | { readonly kind: 'move' }
  | { readonly kind: 'marker'; readonly inputId: string }
  /** Offsets of the dead-letter topic whose letters were sent again or dropped; the value is when. */
  | { readonly kind: 'removed'; readonly letters: Window }

export const LAYOUT_VERSION = 1

function keyText(key: StateKey): string {
  const parts = keyParts(key).map((part) => encodeURIComponent(part))
  return [key.kind, ...parts].join('/')
}

function keyParts(key: StateKey): readonly string[] {
  switch (key.kind) {
    case 'position':
      return [key.inputId, key.service]
    case 'gap':
      return [key.inputId, key.service, windowText(key.window)]
    case 'seen':
      return [key.inputId, key.service, windowText(key.window), String(key.n)]
    case 'requests':
      return [key.pool, String(key.minute), key.writer]
    case 'output':
      return [key.name]
    case 'marker':
      return [key.inputId]
    case 'removed':
      return [windowText(key.letters)]
    case 'layout':
    case 'move':
      return []
  }
}

/** Null for a key that this version does not know: a later one may add some, and other programs write what they like. */
export function parseKey(text: string): StateKey | null {
  const key = readKey(text)
  return key !== null && numbersOf(key).every((number) => Number.isSafeInteger(number)) && keyText(key) === text ? key : null
}

function numbersOf(key: StateKey): readonly number[] {
  switch (key.kind) {
    case 'gap':
      return [key.window.from, key.window.to]
    case 'seen':
      return [key.window.from, key.window.to, key.n]
    case 'requests':
      return [key.minute]
    case 'removed':
      return [key.letters.from, key.letters.to]
    default:
      return []
  }
}

function readKey(text: string): StateKey | null {
  const [kind, ...encoded] = text.split('/')
  const [first = '', second = '', third = '', fourth = ''] = encoded.map(decoded)
  switch (kind) {
    case 'position':
      return { kind, inputId: first, service: second }
    case 'gap':
      return { kind, inputId: first, service: second, window: parseWindow(third) }
    case 'seen':
      return { kind, inputId: first, service: second, window: parseWindow(third), n: Number(fourth) }
    case 'requests':
      return { kind, pool: first, minute: Number(second), writer: third }
    case 'output':
      return { kind, name: first }
    case 'marker':
      return { kind, inputId: first }
    case 'removed':
      return { kind, letters: parseWindow(first) }
    case 'layout':
    case 'move':
      return { kind }
    default:
      return null
  }
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return ''
  }
}

export function windowText({ from, to }: Window): string {
  return `${from}-${to}`
}

function parseWindow(text: string): Window {
  const [from, to] = text.split('-').map(Number)
  return { from: from ?? Number.NaN, to: to ?? Number.NaN }
}

export function jsonRecord(key: StateKey, value: SavedPosition | SavedOutput | SavedMove | Layout | Gap | number | string): StateRecord {
  return { key: keyText(key), value: Buffer.from(JSON.stringify(value)) }
}

export function tombstone(key: StateKey): StateRecord {
  return { key: keyText(key), value: null }
}

/** The records that move a service with a unit. `n` numbers this unit's fingerprints among those of their window; `forgotten` are keys. */
export function positionRecords(
  unit: Pick<Unit, 'inputId' | 'service' | 'reader' | 'position'>,
  startTime: number | null,
  n: number,
  forgotten: readonly StateKey[],
): StateRecord[] {
  const { inputId, position } = unit
  const service = readerOf(unit)
  const { settled, readAt, holes, gaps, seen } = position
  return [
    jsonRecord({ kind: 'position', inputId, service }, { settled, readAt, startTime, holes }),
    ...gaps.map((gap) => jsonRecord({ kind: 'gap', inputId, service, window: gap }, gap)),
    ...(seen === null ? [] : [seenRecord(inputId, service, seen, n)]),
    ...forgotten.map(tombstone),
  ]
}

export function seenRecord(inputId: string, service: string, { window, fingerprints }: SeenFingerprints, n: number): StateRecord {
  const { buffer, byteOffset, byteLength } = fingerprints
  return { key: keyText({ kind: 'seen', inputId, service, window, n }), value: Buffer.from(buffer, byteOffset, byteLength) }
}

