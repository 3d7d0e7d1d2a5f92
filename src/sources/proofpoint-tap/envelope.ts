import { jsonParser, type Token } from 'stream-json/core/parser.js'
import { describeError } from '../../pipeline/errors.ts'
import { parseApiTime } from './api-time.ts'
import { excerpt } from './bytes.ts'
import { MAX_DEPTH } from './scanner.ts'
import { MalformedResponseError } from './malformed.ts'

/** stream-chain's symbol for "no value"; given to a parser it means the end of the input. Registered globally, so that no import is needed. */
const END_OF_INPUT = Symbol.for('object-stream.none')
/** A name of the answer's own in a message. */
const MAX_NAMES = 8
const MAX_NAME_LENGTH = 40
const MAX_NAME_BYTES = 200

/**
 * Judges a response without its elements, which the carver has replaced by `0 `: valid JSON, an object, and which expected arrays are in it. `null`
 * counts as an empty array; an array that comes twice has the elements of both; arrays that nobody expects and anything nested are ignored.
 * Every method throws MalformedResponseError where nothing of the response can be trusted.
 */
export class Envelope {
  /** The top-level array that is open, or null. */
  array: string | null = null
  /** Elements seen in top-level arrays. */
  elements = 0
  /** Epoch milliseconds, or null: absent, or not a time. */
  queryEndTime: number | null = null

  readonly #expected: ReadonlySet<string>
  readonly #found = new Set<string>()
  readonly #names = new Set<string>()
  /** What stands in an expected array's place. */
  readonly #misfits = new Map<string, string>()
  readonly #decoder = new TextDecoder('utf-8')
  readonly #parse = jsonParser({ packValues: true, streamValues: false })
  #depth = 0
  #key = ''

  constructor(expected: Iterable<string>) {
    this.#expected = new Set(expected)
  }

  write(bytes: Uint8Array): void {
    const text = this.#decoder.decode(bytes, { stream: true })
    if (text === '') return
    this.#read(() => this.#parse(text), 'the body is not valid JSON')
  }

  /** Ends the response; throws where it is not whole or has none of the expected arrays. Gives what is wrong with those that are not as they should. */
  end(): ReadonlyMap<string, string> {
    const rest = this.#decoder.decode()
    if (rest !== '') this.#read(() => this.#parse(rest), 'the body is not valid JSON')
    // The parser takes the symbol where its type names text alone.
    this.#read(() => this.#parse(END_OF_INPUT as unknown as string), 'the body was cut off: it ended inside its JSON')
    if (this.#depth !== 0) throw new MalformedResponseError('the body was cut off: it ended inside its JSON')
    const problems = new Map([...this.#misfits].map(([name, what]) => [name, misfit(name, what)]))
    const missing = [...this.#expected].filter((name) => !this.#found.has(name) && !this.#misfits.has(name))
    const names = [...this.#names].map((name) => excerpt(Buffer.from(name), MAX_NAME_BYTES)).join(', ')
    const absence = `the response has no array ${missing.map((name) => `"${name}"`).join(' and none ')}; it has ${names === '' ? 'no members' : names}`
    for (const name of missing) problems.set(name, absence)
    const [first] = problems.values()
    if (first !== undefined && problems.size === this.#expected.size) throw new MalformedResponseError(first)
    return problems
  }

  #read(parse: () => ReturnType<ReturnType<typeof jsonParser>>, failure: string): void {
    let tokens
    try {
      tokens = parse()
    } catch (error) {
      throw new MalformedResponseError(`${failure} (${describeError(error).replace(/^Parser (cannot parse input: |has )?/, '')})`)
    }
    if (typeof tokens === 'symbol') return
    for (const token of tokens.values) this.#take(token)
  }

  #take(token: Token): void {
    switch (token.name) {
      case 'numberValue':
        if (this.#depth === 2 && this.array !== null) this.elements += 1
        else this.#value('a number')
        return
      case 'startObject':
        this.#value('an object')
        this.#open()
        return
      case 'startArray':
        if (this.#depth === 1) {
          this.array = this.#key
          this.#found.add(this.#key)
        } else this.#value('an array')
        this.#open()
        return
      case 'endObject':
        this.#depth -= 1
        return
      case 'endArray':
        this.#depth -= 1
        if (this.#depth === 1) this.array = null
        return
      case 'keyValue':
        if (this.#depth === 1) this.#name(token.value)
        return
      case 'stringValue':
        this.#value('a string')
        if (this.#depth === 1 && this.#key === 'queryEndTime') this.queryEndTime = parseApiTime(token.value)
        return
      case 'nullValue':
        if (this.#depth === 1) this.#found.add(this.#key)
        else this.#value('null')
        return
      case 'trueValue':
      case 'falseValue':
        this.#value('a boolean')
        return
      default:
        // Pieces of values, which come packed as well, and white space.
        return
    }
  }

  #open(): void {
    this.#depth += 1
    if (this.#depth > MAX_DEPTH) throw new MalformedResponseError(`the response is nested deeper than ${MAX_DEPTH} levels outside its arrays`)
  }

  /** Any value but an array or null where an array may be: at the top, or in an expected array's place. */
  #value(what: string): void {
    if (this.#depth === 0 && what !== 'an object') throw new MalformedResponseError(`the response is ${what} instead of an object`)
    if (this.#depth !== 1 || !this.#expected.has(this.#key)) return
    this.#misfits.set(this.#key, what)
    if (this.#misfits.size === this.#expected.size) throw new MalformedResponseError(misfit(this.#key, what))
  }

  #name(name: string): void {
    this.#key = name
    if (this.#names.size < MAX_NAMES) this.#names.add(name.length > MAX_NAME_LENGTH ? `${name.slice(0, MAX_NAME_LENGTH)}...` : name)
  }
}

function misfit(name: string, what: string): string {
  return `the response has ${what} in place of the array "${name}"`
}
