import type { Literal } from './config.ts'

const QUOTE = 0x22
const NUMBER = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/

/** What stands at a place of an event that is no object and no array. */
export interface Scalar {
  /** A string without quotes and escapes; anything else as it stands there. */
  readonly text: string
  readonly isString: boolean
}

/** Throws SyntaxError where the bytes are a string with a bad escape. */
export function scalarAt(bytes: Buffer, start: number, end: number): Scalar {
  if (bytes[start] !== QUOTE) return { text: bytes.toString('latin1', start, end), isString: false }
  const text = bytes.toString('utf8', start + 1, end - 1)
  return { text: text.includes('\\') ? String(JSON.parse(bytes.toString('utf8', start, end))) : text, isString: true }
}

/** A number's value in one form, whatever it is written as and however many digits it has; null where the text is no number. */
export function decimal(text: string): string | null {
  const match = NUMBER.exec(text)
  if (match === null) return null
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = match
  const digits = (whole + fraction).replace(/^0+/, '')
  const significant = digits.replace(/0+$/, '')
  if (significant === '') return '0'
  return `${sign}${significant}e${Number(exponent) - fraction.length + digits.length - significant.length}`
}

/** A string by its text, a number by its value, true and false as such; `5` in the YAML fits `5`, `5.0` and `"5"`. */
export function isLike({ text, isString }: Scalar, literal: Literal): boolean {
  if (isString) return text === literal.text
  if (text === 'true' || text === 'false') return literal.boolean === (text === 'true')
  return literal.number !== null && decimal(text) === literal.number
}
