import type { BatchStream, Cursor, EventBuffer, ReadRange } from './buffer.ts'
import { RetryableError } from './errors.ts'

/** The buffer's events as a service reads them that makes units of its own out of them. It says with each unit how far it has got (`Unit.readTo`). */
export interface EventFeed {
  /** Behind what is worked through. */
  readonly cursor: Cursor
  read(range: ReadRange): BatchStream
}

/** The feed while it is held. */
export interface HeldFeed extends EventFeed {
  /** Events that the buffer no longer had when the service came to them; told once. */
  readonly missedEvents: number
  /** Aborts with a RetryableError when it has to be taken anew. */
  readonly ended: AbortSignal
  /** Saves how far the service is. Throws RetryableError; then it is taken anew as well. */
  commit(cursor: Cursor): Promise<void>
  /** Safe at any time, also twice. */
  release(): Promise<void>
}

/** Takes the events as the output of this name, which must have been opened. Throws as `EventBuffer.takeShare`. */
export async function takeFeed(buffer: EventBuffer, name: string, signal: AbortSignal): Promise<HeldFeed> {
  const share = await buffer.takeShare(name, signal)
  const { cursor, missedEvents, ending, lost } = share
  const ended = new AbortController()
  const shares = AbortSignal.any([ending, lost])
  const end = (): void => ended.abort(new RetryableError(`the events that ${name} reads are dealt out anew`, { code: 'KafkaGroupLost', cause: shares.reason }))
  shares.addEventListener('abort', end, { once: true })
  if (shares.aborted) end()
  return {
    cursor,
    missedEvents,
    ended: ended.signal,
    read: (range) => buffer.read(name, range),
    commit: (to) => buffer.commit(name, to, []),
    release: async () => {
      shares.removeEventListener('abort', end)
      await share.release()
    },
  }
}
