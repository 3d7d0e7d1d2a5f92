import type { ErrorCode } from 'yaml'

/** What the YAML library found, as a sentence that never quotes the file: the line in question may hold a password. */
export function explainSyntax(code: ErrorCode): string {
  return SENTENCES[code] ?? 'is not valid YAML here; look at the indentation, the quotes and the brackets of this line and the one above'
}

const QUOTES = 'put text with special characters in quotes'

const SENTENCES: Partial<Record<ErrorCode, string>> = {
  TAB_AS_INDENT: 'a tab indents this line; YAML wants spaces',
  BAD_INDENT: 'the indentation does not fit the lines above; keys of one mapping begin in the same column',
  MISSING_CHAR: 'something is missing: a colon with a space behind a key, or a closing quote or bracket (perhaps further up)',
  BLOCK_AS_IMPLICIT_KEY: `a colon with a space appears twice in this line; ${QUOTES}`,
  BAD_SCALAR_START: `text may not begin with this character; ${QUOTES}`,
  BAD_DQ_ESCAPE: 'a backslash in double quotes begins an escape that YAML does not know; use single quotes, or double the backslash',
  MULTILINE_IMPLICIT_KEY: 'a key reaches over several lines; a colon with a space is missing behind it',
  BAD_ALIAS: `* begins a reference to an anchor that does not exist; ${QUOTES}`,
  TAG_RESOLVE_FAILED: `! begins a YAML tag that is not known here, or whose value does not fit; ${QUOTES}`,
  MULTIPLE_DOCS: 'a second document begins here; the configuration is one document',
  UNEXPECTED_TOKEN: `something stands here that does not fit the lines above (a bracket, a quote or a key too many); ${QUOTES}`,
  RESOURCE_EXHAUSTION: 'is nested too deeply',
}
