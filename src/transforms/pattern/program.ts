import type { CharSet } from './char-set.ts'
import { PatternError, type Assertion, type Expression } from './parse.ts'

/** One state of the automaton: takes a code unit, or goes on without one. */
export type State =
  | { readonly kind: 'set'; readonly set: CharSet; next: number }
  | { readonly kind: 'assert'; readonly what: Assertion; next: number }
  | { readonly kind: 'split'; readonly next: number[] }
  | { readonly kind: 'found' }

export interface Program {
  readonly states: readonly State[]
  readonly start: number
}

/** Each character read may cost a step in each of them. */
const MAX_STATES = 5_000

/** Thompson's construction, from the end to the beginning. Throws PatternError where it becomes too large. */
export function programOf(expression: Expression): Program {
  const states: State[] = [{ kind: 'found' }]
  const add = (state: State): number => {
    if (states.length >= MAX_STATES) throw new PatternError('is too large once its repetitions are counted out')
    states.push(state)
    return states.length - 1
  }
  /** The state from which `part` leads to `next`. */
  const build = (part: Expression, next: number): number => {
    switch (part.kind) {
      case 'set':
        return add({ kind: 'set', set: part.set, next })
      case 'assert':
        return add({ kind: 'assert', what: part.what, next })
      case 'sequence':
        return part.parts.reduceRight((behind, one) => build(one, behind), next)
      case 'choice':
        return add({ kind: 'split', next: part.parts.map((one) => build(one, next)) })
      case 'repeat':
        return repeat(part.of, part.min, part.max, next)
    }
  }
  const repeat = (of: Expression, min: number, max: number, next: number): number => {
    let first = next
    if (max === Infinity) {
      const loop: State = { kind: 'split', next: [next] }
      first = add(loop)
      loop.next.push(build(of, first))
    } else {
      for (let count = min; count < max; count += 1) first = add({ kind: 'split', next: [next, build(of, first)] })
    }
    for (let count = 0; count < min; count += 1) first = build(of, first)
    return first
  }
  return { start: build(expression, 0), states }
}
