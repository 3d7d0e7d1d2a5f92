import { countEvents, FINGERPRINT_BYTES, type Batch } from '../pipeline/event.ts'
import type { Transform } from '../pipeline/transform.ts'
import type { Condition, FilterConfig, Test } from './config.ts'
import { compilePattern } from './pattern/matcher.ts'
import { pathTree, type PathNode } from './pointer.ts'
import { isLike, scalarAt, type Scalar } from './value.ts'
import { linesOf } from './lines.ts'
import { Walker, type Visitor } from './walk.ts'

/**
 * Keeps, or drops, the events for which at least one of the conditions holds. A condition holds where any of the values that its pointer leads
 * to fits; a field that is null counts as one that is not there. Throws PatternError for a pattern that cannot be used.
 */
export function createFilter({ effect, conditions }: FilterConfig): Transform {
  const tests = conditions.map(({ test }) => fits(test))
  // A pointer to an array, such as the recipients of a message, stands for what is in it.
  const root = pathTree(conditions.map(({ field }) => field), (index) => conditions[index]?.test.kind !== 'exists')
  const keepsHits = effect === 'keep'
  return (batch, reject) => {
    const bytes = Buffer.from(batch.lines.buffer, batch.lines.byteOffset, batch.lines.byteLength)
    const seen = new Seen(bytes, tests)
    const walker = new Walker(bytes, seen)
    const kept: Piece[] = []
    for (const line of linesOf(batch, bytes, reject)) {
      seen.hits.fill(false)
      line.read(() => walker.walk(root, line.start, line.end))
      if (line.isRejected) continue
      if (conditions.some((condition, index) => holds(condition, seen.hits[index] ?? false)) === keepsHits) kept.push(line)
    }
    if (kept.length === countEvents(batch)) return batch
    return kept.length === 0 ? null : only(batch, kept)
  }
}

interface Piece {
  readonly index: number
  readonly start: number
  readonly end: number
}

class Seen implements Visitor {
  readonly hits: boolean[]
  readonly #bytes: Buffer
  readonly #tests: readonly ((value: Scalar) => boolean)[]

  constructor(bytes: Buffer, tests: readonly ((value: Scalar) => boolean)[]) {
    this.#bytes = bytes
    this.#tests = tests
    this.hits = tests.map(() => false)
  }

  found(node: PathNode, start: number, end: number): boolean {
    const value = end < 0 ? CONTAINER : scalarAt(this.#bytes, start, end)
    if (value !== CONTAINER && !value.isString && value.text === 'null') return false
    for (const target of node.targets) if (this.#tests[target]?.(value) === true) this.hits[target] = true
    return false
  }

  cut(): void {
    // Nothing is taken out of an event.
  }
}

/** An object or array: it exists, and is like nothing. */
const CONTAINER: Scalar = { text: '', isString: false }

function fits(test: Test): (value: Scalar) => boolean {
  switch (test.kind) {
    case 'exists':
      return () => true
    case 'one-of':
      return (value) => value !== CONTAINER && test.literals.some((literal) => isLike(value, literal))
    case 'matches': {
      const matches = compilePattern(test.pattern, test.ignoreCase)
      return (value) => value !== CONTAINER && matches(value.text)
    }
  }
}

function holds({ test }: Condition, hit: boolean): boolean {
  return test.kind === 'exists' ? hit === test.wanted : hit
}

function only(batch: Batch, kept: readonly Piece[]): Batch {
  const lines = new Uint8Array(kept.reduce((sum, { start, end }) => sum + end + 1 - start, 0))
  const fingerprints = new Uint8Array(kept.length * FINGERPRINT_BYTES)
  let at = 0
  for (const [position, { index, start, end }] of kept.entries()) {
    lines.set(batch.lines.subarray(start, end + 1), at)
    at += end + 1 - start
    fingerprints.set(batch.fingerprints.subarray(index * FINGERPRINT_BYTES, (index + 1) * FINGERPRINT_BYTES), position * FINGERPRINT_BYTES)
  }
  return { ...batch, lines, fingerprints }
}
