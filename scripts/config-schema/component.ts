import type { Component } from '../../src/config/component.ts'
import type { Property } from '../../src/config/formats.ts'

/** A JSON Schema, draft 7, which is what editors know. */
export type Schema = Readonly<Record<string, unknown>>

/** What is read from elsewhere may be anything; the collector looks at it when it has it. */
const REFERENCE: Schema = { type: 'string', pattern: '\\$\\{' }
/** A key that is there with nothing behind it counts as left out. */
const NOTHING: Schema = { type: 'null' }
/** Also as YAML 1.1 writes it, which an editor takes for text: 1_000, 0x1F, 1:30. */
const NUMBER = '^[-+]?\\d[\\d_:a-fA-FxX]*$'
const YES_OR_NO = '^([Tt][Rr][Uu][Ee]|[Yy][Ee][Ss]|[Oo][Nn]|[Ff][Aa][Ll][Ss][Ee]|[Nn][Oo]|[Oo][Ff][Ff])$'

/** Keys that hold mappings or lists, each with its schema, which says what it is; `required` where a mapping without it cannot be right. */
export type Parts = Readonly<Record<string, { readonly schema: Schema; readonly required?: boolean }>>

/**
 * The schema of one kind of mapping, from the same description as its validation. It is never stricter than that: what only the collector can tell (a
 * file that is missing, a key that fits no certificate) it lets pass. `parts` are those of the component, or this throws.
 */
export function schemaOf<T extends object>(component: Component<T>, parts: Parts = {}): Schema {
  const expected = [...(component.parts ?? [])].sort().join(' ')
  if (Object.keys(parts).sort().join(' ') !== expected) throw new Error(`the parts of the component are ${expected}, and the schema has ${Object.keys(parts).join(' ')}`)
  const properties = Object.entries<Property<unknown>>(component.schema)
  const aliases = Object.entries(component.aliases ?? {})
  const old = component.old
  const required = [...properties.filter(([, { default: value, nullable }]) => value === null && nullable !== true).map(([key]) => key), ...Object.keys(parts).filter((key) => parts[key]?.required)]
  return {
    type: ['object', 'null'],
    properties: {
      ...Object.fromEntries(properties.map(([key, property]) => [key, valueOf(property)])),
      ...Object.fromEntries(Object.entries(parts).map(([key, { schema }]) => [key, schema])),
      ...Object.fromEntries(aliases.map(([alias, key]) => [alias, { description: `The old name of ${key}.`, deprecated: true }])),
      ...Object.fromEntries(Object.entries(old?.names ?? {}).map(([key, advice]) => [key, { description: `A key of the old collector, ignored here${advice === '' ? '' : `; ${advice}`}.`, deprecated: true }])),
    },
    ...(old?.patterns !== undefined && { patternProperties: Object.fromEntries(old.patterns.map(({ source }) => [source, {}])) }),
    additionalProperties: false,
    ...(required.length > 0 && { allOf: required.map((key) => isThere([key, ...aliases.filter(([, of]) => of === key).map(([alias]) => alias)])) }),
  }
}

/** `then` where the mapping has this value, or one of these; it is the default where `orLeftOut`. */
export function where(key: string, value: unknown, then: Schema, orLeftOut = false): Schema {
  return { if: { properties: { [key]: Array.isArray(value) ? { enum: value } : { const: value } }, ...(!orLeftOut && { required: [key] }) }, then }
}

/** What an entry must be unless it says `enabled: false`; then only the names of its keys count. */
export function unlessOff(entry: Schema): Schema {
  const { properties, patternProperties, additionalProperties } = entry
  // It came from schemaOf, which made them.
  const names = Object.keys(properties as Schema)
  return {
    ...where('enabled', false, { properties: Object.fromEntries(names.map((name) => [name, {}])), ...(patternProperties !== undefined && { patternProperties }), additionalProperties }),
    else: entry,
    // For the help that an editor gives while one writes.
    properties: Object.fromEntries(names.map((name) => [name, { description: Reflect.get((properties as Record<string, object>)[name] ?? {}, 'description') as unknown }])),
  }
}

function isThere(names: readonly string[]): Schema {
  const there = names.map((name) => ({ required: [name], properties: { [name]: { not: NOTHING } } }))
  return there.length === 1 ? (there[0] ?? {}) : { anyOf: there }
}

function valueOf(property: Property<unknown>): Schema {
  const { default: value } = property
  return { description: describe(property), ...(value !== null && { default: value }), anyOf: [...kindsOf(property), REFERENCE, NOTHING] }
}

/** What it is, the range and the default, for not every editor shows those two by itself. */
function describe({ doc, format, min, max, default: value }: Property<unknown>): string {
  const range = format === 'tap_whole_number' && min !== undefined && max !== undefined ? ` From ${min} to ${max}.` : ''
  const ending = typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? ` Default: ${value}.` : ''
  return `${doc.charAt(0).toUpperCase()}${doc.slice(1)}.${range}${ending}`
}

function kindsOf({ format, min = 0, max = Number.MAX_SAFE_INTEGER, except, options = [], pattern }: Property<unknown>): readonly Schema[] {
  const choice = { enum: [...options] }
  switch (format) {
    case 'tap_text':
      // Numbers and booleans are taken as they are written: an id, a password.
      return [{ type: 'string', minLength: 1, ...(pattern !== undefined && { pattern: caseless(pattern) }) }, ...(['number', 'boolean'] as const).filter((type) => pattern?.test(type === 'number' ? '1' : 'true') !== false).map((type) => ({ type }))]
    case 'tap_whole_number':
      return [{ type: 'integer', minimum: min, maximum: max, ...(except !== undefined && { not: { const: except } }) }, { type: 'string', pattern: NUMBER }]
    case 'tap_yes_or_no':
      return [{ type: 'boolean' }, { type: 'string', pattern: YES_OR_NO }]
    case 'tap_choice':
      return [choice]
    case 'tap_choices':
      return [{ type: 'array', items: { anyOf: [choice, REFERENCE] } }]
  }
}

/** JSON Schema knows no flags. */
function caseless({ source, flags }: RegExp): string {
  return flags.includes('i') ? source.replaceAll(/[a-z]/gi, (letter) => `[${letter.toUpperCase()}${letter.toLowerCase()}]`) : source
}
