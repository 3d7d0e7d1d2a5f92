import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import type { Batch } from '../../src/pipeline/event.ts'

export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json }

const NAMES = ['a', 'b', 'a/b', 'm~n', 'é"\n', '0', '1', '', '*x']
/** Few names and few values, so that pointers and conditions meet some. */
const scalar: fc.Arbitrary<Json> = fc.oneof(
  fc.constantFrom(null, true, false, 0, 1, -5, 2.5, 1e21, '', 'x', 'true', '5', 'null', 'é\u2028', '"\\', 'a{b}[c],:'),
  fc.string({ unit: 'binary', maxLength: 4 }),
)
const name = fc.constantFrom(...NAMES)
const json: fc.Arbitrary<Json> = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    scalar,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(name, tie('value'), { maxKeys: 4, noNullPrototype: true }),
  ),
})).value
export const eventValue = fc.dictionary(name, json, { maxKeys: 5, noNullPrototype: true })
export const pointer = fc
  .array(fc.oneof(name.map((one) => one.replaceAll('~', '~0').replaceAll('/', '~1')), fc.constant('*')), { minLength: 1, maxLength: 4 })
  .map((steps) => steps.map((step) => `/${step}`).join(''))

/** JSON text of a value with white space and escapes that `JSON.stringify` would not write, drawn from a seed. */
export function written(value: Json, seed: number): string {
  let state = seed
  const dice = (sides: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return (state >>> 8) % sides
  }
  const space = (): string => ['', '', '', ' ', '\t  '][dice(5)] ?? ''
  const text = (plain: string): string => {
    const units = JSON.stringify(plain).slice(1, -1)
    return `"${dice(2) === 0 ? units : units.replace(/^[a-zA-Z0-9]/, (first) => `\\u00${first.charCodeAt(0).toString(16)}`)}"`
  }
  const write = (one: Json): string => {
    if (typeof one === 'string') return text(one)
    if (Array.isArray(one)) return `[${space()}${one.map((item: Json) => write(item) + space()).join(`,${space()}`)}]`
    if (typeof one !== 'object' || one === null) return JSON.stringify(one)
    const members = Object.entries(one).map(([key, member]) => `${text(key)}${space()}:${space()}${write(member)}${space()}`)
    return `{${space()}${members.join(`,${space()}`)}}`
  }
  return write(value)
}

/** The places that a pointer leads to, naively. */
export function placesOf(value: Json, pointerText: string): readonly (readonly (string | number)[])[] {
  const steps = pointerText.slice(1).split('/').map((step) => (step === '*' ? null : step.replaceAll('~1', '/').replaceAll('~0', '~')))
  return steps.reduce<(readonly (string | number)[])[]>(
    (places, step) =>
      places.flatMap((place) => {
        const at = valueAt(value, place)
        if (Array.isArray(at)) return at.flatMap((_, index): (readonly (string | number)[])[] => (step === null || step === String(index) ? [[...place, index]] : []))
        if (typeof at !== 'object' || at === null) return []
        return Object.keys(at).flatMap((key): (readonly (string | number)[])[] => (step === null || step === key ? [[...place, key]] : []))
      }),
    [[]],
  )
}

export function valueAt(value: Json, place: readonly (string | number)[]): Json {
  return place.reduce<Json>((at, step) => {
    // The place was found in this very value.
    const holder = at as Readonly<Record<string | number, Json>>
    return holder[step] ?? null
  }, value)
}

/** The same value with another in the place of some; undefined takes them out. */
export function changed(value: Json, places: readonly (readonly (string | number)[])[], change: (old: Json) => Json | undefined): Json | undefined {
  if (places.some((place) => place.length === 0)) return change(value)
  const below = (step: string | number) => places.filter(([first]) => first === step).map((place) => place.slice(1))
  if (Array.isArray(value)) {
    return value.map((item: Json, index) => changed(item, below(index), change)).filter((item) => item !== undefined)
  }
  if (typeof value !== 'object' || value === null) return value
  const members = Object.entries(value).map(([key, member]) => [key, changed(member, below(key), change)] as const)
  return Object.fromEntries(members.filter((member): member is [string, Json] => member[1] !== undefined))
}

export function hashOf(text: string, key: string): string {
  return createHmac('sha256', key).update(text).digest('hex')
}

export function textsOf({ lines }: Batch): readonly string[] {
  return Buffer.from(lines).toString().split('\n').slice(0, -1)
}
