/** A value in the YAML that values of events are compared with. */
export interface Literal {
  /** As it stands in the YAML: what strings are compared with. */
  readonly text: string
  /** What numbers and booleans are compared with; null where it is none. */
  readonly number: string | null
  readonly boolean: boolean | null
}

export type Test =
  | { readonly kind: 'one-of'; readonly literals: readonly Literal[] }
  | { readonly kind: 'matches'; readonly pattern: string; readonly ignoreCase: boolean }
  | { readonly kind: 'exists'; readonly wanted: boolean }

export interface Condition {
  /** A JSON pointer, with `*` for each element. */
  readonly field: string
  readonly test: Test
}

export interface FilterConfig {
  /** What becomes of the events for which at least one of the conditions holds. */
  readonly effect: 'keep' | 'drop'
  readonly conditions: readonly Condition[]
}

export interface RedactConfig {
  /** JSON pointers, with `*` for each element. */
  readonly fields: readonly string[]
  readonly action: 'remove' | 'mask' | 'hash'
  /** Of the hash; null for the other actions. */
  readonly key: string | null
}
