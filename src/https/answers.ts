import type { Readable } from 'node:stream'

const BODY_HEAD_BYTES = 2_048
const SHOWN_CHARACTERS = 200

export type Headers = Readonly<Record<string, string | string[] | undefined>>

/** Retry-After in milliseconds: seconds, or a date compared with the answer's own. Null where there is none that makes sense. */
export function retryAfter(headers: Headers): number | null {
  const answeredAt = Date.parse(singleHeader(headers.date) ?? '')
  const value = singleHeader(headers['retry-after'])?.trim() ?? ''
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1_000
  const date = /[a-z]/i.test(value) ? Date.parse(value) : NaN
  return Number.isNaN(date) || Number.isNaN(answeredAt) || date < answeredAt ? null : date - answeredAt
}

/** The value of a header, or the first of several. */
export function singleHeader(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header[0] : header
}

/** The beginning of an answer's body as one printable line, secrets taken out. Destroys the body. */
export async function bodyHead(body: Readable, secrets: readonly string[]): Promise<string> {
  const pieces: Buffer[] = []
  let length = 0
  try {
    for await (const piece of body as AsyncIterable<Uint8Array>) {
      pieces.push(Buffer.from(piece))
      length += piece.length
      if (length >= BODY_HEAD_BYTES) break
    }
  } catch {
    // The status alone has to do.
  } finally {
    body.destroy()
  }
  return said(Buffer.concat(pieces).subarray(0, BODY_HEAD_BYTES).toString(), secrets)
}

/** What an answer says, as one printable line, secrets taken out. */
export function said(text: string, secrets: readonly string[]): string {
  return printable(secrets.reduce((rest, secret) => (secret === '' ? rest : rest.replaceAll(secret, '***')), text), SHOWN_CHARACTERS)
}

/** One line without control characters, shortened to so many characters. */
export function printable(text: string, length: number): string {
  const line = text
    .replace(/\s+/g, ' ')
    .trim()
    .replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`)
  return line.length > length ? `${line.slice(0, length)}...` : line
}
