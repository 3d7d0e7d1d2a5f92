import type { Readable } from 'node:stream'

/** One GET over HTTP, one of the four seams. Rejects where no answer came; whoever gets an answer owes the reading or destroying of its body. */
export type HttpRequest = (request: {
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly signal: AbortSignal
}) => Promise<HttpResponse>

export interface HttpResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  /** The decoded body (gzip already taken off). Fails where the answer ends before it is whole. */
  readonly body: Readable
}
