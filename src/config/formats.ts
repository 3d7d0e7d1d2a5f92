import type convict from 'convict'
import { nearest } from './nearest.ts'

/** The kinds of values that a key may hold. convict keeps formats in one register for all its users, hence names of our own. */
export type FormatName = 'tap_text' | 'tap_whole_number' | 'tap_yes_or_no' | 'tap_choice' | 'tap_choices'

/** One key as its component's schema describes it; the attributes beside convict's own are for the formats below. */
export interface Property<T> {
  /** What it is; completes `is missing: ...`. */
  readonly doc: string
  readonly format: FormatName
  /** Null without `nullable`: the key is required. */
  readonly default: T | null
  readonly nullable?: boolean
  readonly sensitive?: boolean
  readonly min?: number
  readonly max?: number
  /** A number within the range that is not allowed all the same. */
  readonly except?: number
  readonly options?: readonly string[]
  /** Completes `must be ...` where a number or a pattern does not fit. */
  readonly expected?: string
  readonly pattern?: RegExp
  /** Text: a further check; what is wrong as a sentence, or null. */
  readonly check?: (text: string) => string | null
}

/** The same as a format sees it, and where what is wrong goes to: convict itself would only hand out one long text, values included. */
export interface LiveProperty extends Property<unknown> {
  readonly reject: (wrong: string) => void
}

type Check = (value: unknown, property: Property<unknown>) => string | null

const CHECKS: Readonly<Record<FormatName, Check>> = {
  tap_text(value, { pattern, expected, check }) {
    if (typeof value !== 'string') return 'must be text'
    if (value === '') return 'must not be empty'
    if (pattern !== undefined && !pattern.test(value)) return `must be ${expected ?? 'of another form'}`
    return check === undefined ? null : check(value)
  },
  tap_whole_number(value, { min = 0, max = Number.MAX_SAFE_INTEGER, except, expected }) {
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max && value !== except) return null
    return `must be ${expected ?? `a whole number from ${min} to ${max}`}`
  },
  tap_yes_or_no(value) {
    return typeof value === 'boolean' ? null : 'must be true or false'
  },
  tap_choice(value, property) {
    return typeof value === 'string' && optionsOf(property).includes(value) ? null : `must be ${listed(value, property)}`
  },
  tap_choices(value, property) {
    if (!Array.isArray(value)) return `must be a list, each of them ${listed(null, property)}`
    const wrong: unknown = value.find((item) => typeof item !== 'string' || !optionsOf(property).includes(item))
    return wrong === undefined ? null : `must be a list, each of them ${listed(wrong, property)}`
  },
}

/** For `convict.addFormats`. What is wrong goes to the property's `reject`. */
export const formats: Record<string, convict.Format> = Object.fromEntries(
  Object.entries(CHECKS).map(([name, check]): [string, convict.Format] => [
    name,
    {
      validate(value: unknown, schema) {
        // convict hands the property back as it was given, and every property comes from `settle` in component.ts.
        const property = schema as LiveProperty
        const wrong = value === null ? `is missing: ${property.doc}` : check(value, property)
        if (wrong === null) return
        property.reject(wrong)
        throw new Error('rejected')
      },
    },
  ]),
)

function optionsOf({ options }: Property<unknown>): readonly string[] {
  return options ?? []
}

function listed(value: unknown, property: Property<unknown>): string {
  const options = optionsOf(property)
  const near = typeof value === 'string' ? nearest(value, options) : null
  const choice = options.length === 1 ? (options[0] ?? '') : `one of ${options.join(', ')}`
  return near === null ? choice : `${choice} (did you mean ${near}?)`
}
