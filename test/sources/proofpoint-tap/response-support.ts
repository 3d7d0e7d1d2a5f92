import { Readable } from 'node:stream'
import fc from 'fast-check'
import { eventsOf, type Pull } from '../../../src/pipeline/event.ts'
import type { DeadLetter, Window } from '../../../src/pipeline/unit.ts'
import { FingerprintTable } from '../../../src/sources/proofpoint-tap/fingerprints.ts'
import { readResponse, type ResponsePart, type ResponseSummary } from '../../../src/sources/proofpoint-tap/response.ts'

export const HOUR: Window = { from: 1_000_000, to: 4_600_000 }

export function pullOf(service: string): Pull {
  return { inputId: '12345', service, pulledAt: 4_700_000, environment: null }
}

export interface Outcome {
  readonly parts: readonly ResponsePart[]
  readonly summary: ResponseSummary
  /** The lines of one array, without their ends. */
  readonly lines: (array?: string) => string[]
  /** 'hex', events and dead letters. */
  readonly fingerprints: readonly string[]
  readonly deadLetters: readonly DeadLetter[]
}

/** Reads a body given in pieces; arrays without a table get a new one. */
export async function read(
  pieces: Iterable<Uint8Array | string> | Readable,
  { arrays = ['a'], seen = new FingerprintTable(), window = HOUR }: { arrays?: readonly string[]; seen?: FingerprintTable; window?: Window } = {},
): Promise<Outcome> {
  const targets = new Map(arrays.map((name) => [name, { pull: pullOf(name), seen: arrays.length === 1 ? seen : new FingerprintTable() }]))
  const body = pieces instanceof Readable ? pieces : Readable.from([...pieces].map((piece) => Buffer.from(piece)))
  const reading = readResponse(body, { arrays: targets, window, now: () => 42 })
  const parts: ResponsePart[] = []
  for (;;) {
    const step = await reading.next()
    if (step.done !== true) {
      parts.push(step.value)
      continue
    }
    return {
      parts,
      summary: step.value,
      lines: (array = arrays[0] ?? '') => linesOf(parts.filter((part) => part.array === array)),
      fingerprints: parts.flatMap(({ fingerprints }) => split16(fingerprints)),
      deadLetters: parts.flatMap(({ deadLetters }) => deadLetters),
    }
  }
}

export function linesOf(parts: readonly ResponsePart[]): string[] {
  return parts.flatMap(({ chunks }) => chunks.flatMap((chunk) => [...eventsOf(chunk)].map((event) => Buffer.from(event).toString())))
}

export function split16(fingerprints: Uint8Array): string[] {
  const hex = Buffer.from(fingerprints).toString('hex')
  return hex.match(/.{32}/g) ?? []
}

/** Cuts bytes at the given places, in any order and also beyond the end. */
export function cutAt(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const ends = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b)
  return [...ends, bytes.length].map((end, index) => bytes.subarray(index === 0 ? 0 : ends[index - 1], end))
}

/** JSON as it is written: text and order kept, which no parsed value can. */
export type Written = string | { readonly members: readonly (readonly [key: string, value: Written])[] } | { readonly elements: readonly Written[] }

/** With `space` between all tokens. */
export function writeJson(value: Written, space: () => string = () => ''): string {
  if (typeof value === 'string') return value
  const [open, close, items] =
    'members' in value
      ? ['{', '}', value.members.map(([key, member]) => `${space()}"${key}"${space()}:${space()}${writeJson(member, space)}${space()}`)]
      : ['[', ']', value.elements.map((element) => `${space()}${writeJson(element, space)}${space()}`)]
  return `${open}${items.length === 0 ? space() : items.join(',')}${close}`
}

/** Raw contents of strings: escapes of all kinds, lone surrogates, characters of one to four bytes, structure inside strings. */
const rawText = fc
  .array(
    fc.constantFrom(
      'a', 'threat', 'messageParts', ' ', '{', '}', '[', ']', ',', ':', '\\"', '\\\\', '\\/', '\\n', '\\u0000', '\\ud800', '\\uDFFF', 'é', '€', '😀', '\u2028', '\u007f', '0', '-',
    ),
    { maxLength: 8 },
  )
  .map((pieces) => pieces.join(''))

const rawNumber = fc.constantFrom('0', '-0', '0.0', '1', '-1.5', '1e5', '1E-7', '2.50e+10', '12345678901234567890', '12345678901234567891')
const rawKey = fc.oneof(fc.constantFrom('messageParts', 'threatsInfoMap', 'id', 'threatID', 'threatTime', 'threatURL', 'threatUrl', ''), rawText)
const rawScalar = fc.oneof(rawText.map((text) => `"${text}"`), rawNumber, fc.constantFrom('true', 'false', 'null'))

export const { event: writtenEvent, value: writtenValue } = fc.letrec<{ event: Written; value: Written; object: Written; array: Written }>((tie) => ({
  value: fc.oneof({ maxDepth: 4, depthIdentifier: 'json' }, rawScalar, tie('object'), tie('array')),
  object: fc.array(fc.tuple(rawKey, tie('value')), { maxLength: 8, depthIdentifier: 'json' }).map((members) => ({ members })),
  array: fc.array(tie('value'), { maxLength: 5, depthIdentifier: 'json' }).map((elements) => ({ elements })),
  event: tie('object'),
}))

/** Gives white space, or none, again and again. */
export const whiteSpace = fc.array(fc.constantFrom('', '', ' ', '\n', '\r\n\t'), { maxLength: 30 }).map((spaces) => {
  let turn = 0
  return (): string => spaces[turn++ % spaces.length] ?? ''
})
