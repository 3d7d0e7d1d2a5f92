import { withCode } from '../pipeline/errors.ts'
import type { CodeName } from '../pipeline/codes.ts'

/** What a command has to complain about, to the person who gave it: one line on standard error, in front of it the code of `err`, or `code` where that has none. */
export function tellTrouble(text: string, trouble: { readonly code: CodeName; readonly err?: unknown }): void {
  process.stderr.write(`${withCode(text, trouble)}\n`)
}
