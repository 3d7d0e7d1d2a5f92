import fc from 'fast-check'
import { describeError } from '../../src/pipeline/errors.ts'

/** One kind of hostile input and what must hold for it. */
export interface FuzzTarget {
  readonly name: string
  /** Cases of the short form. */
  readonly runs: number
  /** What one case may cost; only what a case of an honest size could never need. */
  readonly bounds?: Partial<Bounds>
  readonly cases: fc.Arbitrary<unknown>
  /** Throws where something does not hold. */
  readonly check: (input: never) => Promise<void> | void
  /** Owed before the first case and behind the last one. */
  readonly begin?: () => Promise<void> | void
  readonly end?: () => Promise<void> | void
}

interface Bounds {
  /** CPU and not time: others may have the machine. */
  readonly cpuMs: number
  /** By which the highest resident memory of the process may grow. */
  readonly bytes: number
  /** Of anything that waits. */
  readonly waitMs: number
}

const MIB = 2 ** 20
const MOST_SHOWN = 6_000
const BOUNDS: Bounds = { cpuMs: 2_000, bytes: 192 * MIB, waitMs: 60_000 }

/** Keeps the types of the cases together; the runs know nothing of them. */
export function target<Input>(
  spec: Omit<FuzzTarget, 'cases' | 'check'> & { readonly cases: fc.Arbitrary<Input>; readonly check: (input: Input) => Promise<void> | void },
): FuzzTarget {
  return spec
}

export interface FuzzLimits {
  readonly seed: number
  /** Whatever comes first. */
  readonly runs?: number
  readonly forMs?: number
  /** Called before each case. */
  readonly onCase?: (input: unknown) => void
}

export interface FuzzOutcome {
  readonly cases: number
  /** For a person: the smallest case that fails, and why; null: none did. */
  readonly failure: string | null
}

/** The cases of a target from a seed. What fails is made small before it is told. */
export async function runTarget(fuzzed: FuzzTarget, { seed, runs = Infinity, forMs, onCase }: FuzzLimits): Promise<FuzzOutcome> {
  const bounds = { ...BOUNDS, ...fuzzed.bounds }
  const property = fc.asyncProperty(fuzzed.cases, async (input) => {
    onCase?.(input)
    // Both sides are of one target.
    await bounded(async () => fuzzed.check(input as never), bounds)
  })
  await fuzzed.begin?.()
  try {
    const details = await fc.check(property, {
      seed,
      numRuns: Math.min(runs, 2 ** 31 - 1),
      ...(forMs !== undefined && { interruptAfterTimeLimit: forMs }),
    })
    const { numRuns: cases, counterexample, counterexamplePath: path, errorInstance } = details
    if (counterexample === null) return { cases, failure: null }
    return { cases, failure: `${describeError(errorInstance)} (case ${cases} of seed ${seed}, path ${path})\n${shown(counterexample[0])}` }
  } finally {
    await fuzzed.end?.()
  }
}

async function bounded(work: () => Promise<void>, { cpuMs, bytes, waitMs }: Bounds): Promise<void> {
  const memory = maxResident()
  const cpu = process.cpuUsage()
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new Error(`no end after ${waitMs} ms`)), waitMs)
  try {
    await Promise.race([work(), late.promise])
  } finally {
    clearTimeout(timer)
  }
  const { user, system } = process.cpuUsage(cpu)
  const tookMs = (user + system) / 1_000
  if (tookMs > cpuMs) throw new Error(`${tookMs.toFixed(0)} ms of CPU for one case, where ${cpuMs} is the bound`)
  const grown = maxResident() - memory
  if (grown > bytes) throw new Error(`memory grew by ${(grown / MIB).toFixed(0)} MB in one case, where ${bytes / MIB} is the bound`)
}

/** Bytes as text, and not too much of them. */
function shown(input: unknown): string {
  const text = JSON.stringify(input, (_, value: unknown) => {
    if (value instanceof Uint8Array) return Buffer.from(value).toString('latin1')
    // What JSON makes of a Buffer before it asks.
    if (typeof value === 'object' && value !== null && 'type' in value && value.type === 'Buffer' && 'data' in value) return Buffer.from(value.data as number[]).toString('latin1')
    return value
  })
  return text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)}...` : text
}

function maxResident(): number {
  return process.resourceUsage().maxRSS * 1_024
}

/** Throws unless the error is one of the given kinds, with a message that an operator can read: one line of printable text. */
export function assertTold(error: unknown, kinds: readonly (abstract new (...args: never) => Error)[], most = 1_000): void {
  if (!kinds.some((kind) => error instanceof kind)) throw new Error(`not an error for an operator: ${describeError(error)}`, { cause: error })
  const message = describeError(error)
  if (message === '' || message.length > most || UNPRINTABLE.test(message)) throw new Error(`not a message for an operator: ${JSON.stringify(message.slice(0, 2_000))}`)
  if (INTERNAL.test(message)) throw new Error(`a message of the engine and none for an operator: ${message}`)
}

const UNPRINTABLE = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029]/
const INTERNAL = /Cannot read propert|is not a function|is not iterable|undefined|\bNaN\b|Invalid (array length|time value)|is out of range|\[object|Unexpected (token|end of JSON)|buffer bounds/

export function assert(condition: boolean, what: () => string): void {
  if (!condition) throw new Error(what())
}
