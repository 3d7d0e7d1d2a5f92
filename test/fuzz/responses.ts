import fc from 'fast-check'
import { TapTraffic } from '../../src/simulator/events.ts'
import { HOUR_MS, TAP_ARRAYS } from '../../src/simulator/tap-api.ts'
import { jsonBody } from '../../src/simulator/tap-body.ts'
import type { TapEvent } from '../../src/simulator/tap-store.ts'
import { FingerprintTable } from '../../src/sources/proofpoint-tap/fingerprints.ts'
import { MalformedResponseError } from '../../src/sources/proofpoint-tap/response.ts'
import { MAX_DEPTH } from '../../src/sources/proofpoint-tap/scanner.ts'
import { cutAt, read, type Outcome } from '../sources/proofpoint-tap/response-support.ts'
import { cuts, mutate, mutations, type Mutation } from './mutate.ts'
import { assert, assertTold, target, type FuzzTarget } from './target.ts'

const HOUR = Date.parse('2026-11-20T10:00:00Z')
const WORDS = ['{', '}', '[', ']', ',', ':', '"', '\\', '\\"', '\\u', '{}', '[]', '[{', '}]', '{"', '":', '},{', 'null', 'true', '0', '-', '1e9', '\n', ' ', '\ufeff', '<html>', ...TAP_ARRAYS.map((name) => `"${name}":`)]

/** What an answer may have one day beside its arrays. */
const OTHER_MEMBER = ',"page":{"clicksBlocked":[{"id":"no event"},[]],"next":"]}\\\\\\"","of":[[1],{"messagesBlocked":[{}]}]}'

/** An answer of the simulator's events, and where each element lies. */
interface Answer {
  readonly body: Buffer
  readonly arrays: readonly string[]
  readonly elements: readonly { readonly start: number; readonly end: number }[]
}

/** The four arrays are the answer of `/all`, one is that of a service's own endpoint. */
const answer: fc.Arbitrary<Answer> = fc
  .record({ seed: fc.nat(1_000_000), events: fc.nat(5), isAll: fc.boolean(), space: fc.constantFrom('', '', ' ', '\n  '), other: fc.constantFrom('', '', OTHER_MEMBER) })
  .map(({ seed, events, isAll, space, other }) => {
    const arrays = isAll ? TAP_ARRAYS : TAP_ARRAYS.slice(seed % 4, (seed % 4) + 1)
    const traffic = new TapTraffic({ seed, perHour: events, nasty: 0.4, twins: 0.2 })
    const pieces: Buffer[] = [Buffer.from(`{"queryEndTime":"2026-11-20T11:00:00Z"${other}`)]
    const elements: { start: number; end: number }[] = []
    let length = pieces[0]?.length ?? 0
    const add = (piece: Buffer): void => {
      pieces.push(piece)
      length += piece.length
    }
    for (const array of arrays) {
      add(Buffer.from(`,${space}"${array}":[${space}`))
      let comma = ''
      for (const event of traffic.between(array, HOUR, HOUR + HOUR_MS)) {
        add(Buffer.from(comma))
        comma = `,${space}`
        const start = length
        add(elementOf(event))
        elements.push({ start, end: length })
      }
      add(Buffer.from(']'))
    }
    add(Buffer.from('}'))
    return { body: Buffer.concat(pieces), arrays, elements }
  })

/** As the simulator sends it. */
function elementOf(event: TapEvent): Buffer {
  const body = jsonBody({
    queryEndTime: '', queryEndLast: false, arrays: [[event.service, { length: 1, at: () => event }]], matches: () => true, orderSeed: null, trailing: '',
  })
  return Buffer.concat([...body]).subarray(`{"queryEndTime":"","${event.service}":[`.length, -']}'.length)
}

/** The whole answer read, or why it was refused; with what was seen before, for a second reading. */
async function reading(pieces: readonly Uint8Array[], arrays: readonly string[], seen = new FingerprintTable()): Promise<Outcome | MalformedResponseError> {
  try {
    return await read(pieces, { arrays, seen })
  } catch (error) {
    assertTold(error, [MalformedResponseError], 700)
    assert(seen.size === 0, () => 'a refused answer has left fingerprints')
    // Nothing else passes the line above.
    return error as MalformedResponseError
  }
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString()
const whatCame = (outcome: Outcome | MalformedResponseError, arrays: readonly string[]): unknown =>
  outcome instanceof MalformedResponseError ? 'refused' : { lines: arrays.map((array) => outcome.lines(array)), letters: outcome.deadLetters.map(({ event, size }) => [text(event), size]) }

/** How often each array is named, other than in a way that only a parser sees; in the other member it is none. */
const isNamedOnce = (body: string, name: string): boolean => body.replace(OTHER_MEMBER, '').split(`"${name}"`).length === 2

function isEvent(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && depthOf(value) <= MAX_DEPTH
}

function depthOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  return 1 + Object.values(value).reduce<number>((deepest, child) => Math.max(deepest, depthOf(child)), 0)
}

/** `JSON.parse` says what an answer is that it can read. */
function compareWithParser(body: Buffer, arrays: readonly string[], outcome: Outcome | MalformedResponseError): void {
  const written = body.toString().replace(/^\ufeff/, '')
  let parsed: unknown
  try {
    parsed = JSON.parse(written)
  } catch {
    return
  }
  const members = typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed) ? new Map<string, unknown>(Object.entries(parsed)) : null
  if (members === null || arrays.every((name) => !Array.isArray(members.get(name)) && members.get(name) !== null)) {
    assert(outcome instanceof MalformedResponseError, () => 'what has no array of events was taken for an answer')
    return
  }
  // Which of two members of one name counts is another question, and a nesting outside the arrays may be refused.
  if (arrays.some((name) => members.has(name) && !isNamedOnce(written, name)) || (outcome instanceof MalformedResponseError && outcome.message.includes('nested deeper'))) return
  if (outcome instanceof MalformedResponseError) throw new Error(`a good answer was refused: ${outcome.message}`)
  for (const name of arrays) {
    const values: unknown = members.get(name)
    if (!Array.isArray(values)) {
      assert(values === null || outcome.summary.problems.has(name), () => `nothing is said about ${name}`)
      continue
    }
    const events = values.filter(isEvent)
    const lines = outcome.lines(name)
    assert(events.length === lines.length, () => `${lines.length} of ${events.length} events of ${name} came`)
    lines.forEach((line, index) => {
      assert(JSON.stringify(JSON.parse(line)) === JSON.stringify(events[index]), () => `an event has changed: ${line}`)
    })
    const letters = outcome.deadLetters.filter(({ service }) => service === name)
    assert(letters.length === values.length - events.length, () => `${letters.length} dead letters of ${values.length - events.length} in ${name}`)
  }
}

function checkOutcome(outcome: Outcome): void {
  const { received, duplicates } = outcome.summary
  const came = outcome.parts.reduce((sum, { events }) => sum + events, 0) + outcome.deadLetters.length
  assert(received === came && duplicates === 0, () => `${received} were received, ${duplicates} of them twice, and ${came} came`)
  for (const line of outcome.parts.flatMap(({ array }) => outcome.lines(array))) {
    assert(!line.includes('\n') && line.startsWith('{') && line.endsWith('}') && isEvent(JSON.parse(line)), () => `not an event: ${line}`)
  }
  for (const { reason, size } of outcome.deadLetters) assert(size > 0 && /^[\x20-\x7e]{5,300}$/.test(reason), () => `a dead letter without a reason: ${reason}`)
}

const anywhere = target({
  name: 'an answer that is changed anywhere',
  runs: 400,
  cases: fc.record({ answer, changes: mutations({ words: WORDS }), places: cuts }),
  async check({ answer: { body, arrays }, changes, places }: { answer: Answer; changes: readonly Mutation[]; places: readonly number[] }) {
    const changed = mutate(body, changes)
    const seen = new FingerprintTable()
    const outcome = await reading([changed], arrays, seen)
    compareWithParser(changed, arrays, outcome)
    const inPieces = await reading(cutAt(changed, places), arrays)
    assert(JSON.stringify(whatCame(inPieces, arrays)) === JSON.stringify(whatCame(outcome, arrays)), () => 'it is read otherwise when it comes in other pieces')
    if (outcome instanceof MalformedResponseError) return
    checkOutcome(outcome)
    if (arrays.length > 1) return
    const again = await read([changed], { arrays, seen })
    assert(again.parts.length === 0 && again.summary.duplicates === outcome.summary.received, () => 'what was read already comes as new')
  },
})

const withinOne = target({
  name: 'an answer in which one element is changed',
  runs: 250,
  // Long copies can make an answer that is another one as a whole, with the events behind the changed one in an array that nobody wants.
  cases: fc.record({ answer, element: fc.nat(), changes: mutations({ words: WORDS, most: 2, kinds: ['flip', 'set', 'insert', 'remove', 'cut'] }) }),
  async check({ answer: { body, arrays, elements }, element, changes }: { answer: Answer; element: number; changes: readonly Mutation[] }) {
    const chosen = elements[element % Math.max(1, elements.length)]
    if (chosen === undefined) return
    const { start, end } = chosen
    const changed = Buffer.concat([body.subarray(0, start), mutate(body.subarray(start, end), changes), body.subarray(end)])
    const [before, outcome] = [await reading([body], arrays), await reading([changed], arrays)]
    if (before instanceof MalformedResponseError) throw before
    if (outcome instanceof MalformedResponseError) return
    checkOutcome(outcome)
    // A quote may have made a neighbour a part of the changed one: then it is in there.
    const left = new Map<string, number>()
    for (const line of arrays.flatMap((array) => outcome.lines(array))) left.set(line, (left.get(line) ?? 0) + 1)
    const kept = [...outcome.deadLetters.map(({ event }) => text(event)), ...left.keys()]
    for (const other of elements) {
      if (other === chosen) continue
      const [line = ''] = (await read([`{"a":[`, body.subarray(other.start, other.end), ']}'])).lines()
      const count = left.get(line) ?? 0
      if (count > 0) left.set(line, count - 1)
      else assert(kept.some((event) => event.includes(text(body.subarray(other.start, other.end)))), () => `an event beside the changed one is gone: ${line}`)
    }
  },
})

/** The carver, the scanner and the envelope together, as they read an answer. */
export const responseTargets: readonly FuzzTarget[] = [anywhere, withinOne]
