import { readFileSync } from 'node:fs'
import type avsc from 'avsc'
import fc from 'fast-check'

/** Bytes are in hex. */
export interface Vector {
  readonly schema: 'tap-event' | 'dead-letter'
  readonly value: Readonly<Record<string, string | number | null>>
  readonly record: string
}

interface Version {
  readonly schema: avsc.Schema
  readonly record: string
}

interface Vectors {
  readonly records: readonly Vector[]
  readonly headers: readonly { readonly schema: avsc.Schema; readonly header: string }[]
  /** The first of `records` without its environment, and with a field that is not in the schema yet. */
  readonly versions: { readonly former: Version; readonly later: Version }
}

const VECTORS = JSON.parse(readFileSync(new URL('vectors.json', import.meta.url), 'utf8')) as Vectors // made by make.py

export const { headers, versions } = VECTORS
export const vectorsOf = (schema: Vector['schema']): readonly Vector[] => VECTORS.records.filter((vector) => vector.schema === schema)
export const bytes = (hex: unknown): Buffer => Buffer.from(String(hex), 'hex')
export const hex = (view: Uint8Array): string => Buffer.from(view).toString('hex')

/** avsc reads numbers beyond these wrongly: as milliseconds they lie some 140,000 years away. */
export const anyTime = fc.integer({ min: -(2 ** 52), max: 2 ** 52 - 1 })
