import { hostname } from 'node:os'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Logger } from 'pino'
import { OUTPUT_TYPES } from '../config/output-types.ts'
import type { CollectorConfig } from '../config/types.ts'
import { retryBackoff } from '../pipeline/backoff.ts'
import type { Clock } from '../pipeline/clock.ts'
import { describeError } from '../pipeline/errors.ts'
import { FINGERPRINT_BYTES, type Batch } from '../pipeline/event.ts'
import type { Sink } from '../pipeline/sink.ts'
import { linePrefix } from '../sinks/line.ts'
import { InternalLog, NOT_FOR_DEVO, type InternalEvent } from '../telemetry/internal-log.ts'
import type { Outbox } from '../telemetry/outbox.ts'
import { createOutput } from './components.ts'
import { version } from './version.ts'

/** Lines that come close together share a connection. */
const GATHER_MS = 5_000
/** What the collector says last gets so long to arrive. It must not keep a process that was told to end. */
const LAST_TRY_MS = 2_000

/** The collector's own log for all outputs to Devo; null where nobody wants it. Its `hear` is to be given every line. */
export function internalLog({ internalEvents, name, outputs }: CollectorConfig, clock: Clock): InternalLog | null {
  if (!internalEvents) return null
  const toDevo = outputs.filter(({ type }) => OUTPUT_TYPES[type].takesOwnLog === true)
  return new InternalLog({ collector: { name, version: version() }, outputs: toDevo.map((output) => output.name), clock })
}

/**
 * Sends the log to Devo beside the real events, on connections of its own: it takes no place in a shipment, and what it meets stays its own affair. What
 * does not arrive is tried again; after a while the oldest lines are left out. The caller owes a `close`, which takes at most two seconds.
 */
export async function sendInternalEvents(internal: InternalLog, config: CollectorConfig, { clock, log }: { readonly clock: Clock; readonly log: Logger }): Promise<{ close(): Promise<void> }> {
  const own = log.child(NOT_FOR_DEVO)
  // Of the connection itself the output beside it says enough.
  const quiet = log.child(NOT_FOR_DEVO, { level: log.isLevelEnabled('debug') ? 'debug' : 'silent' })
  const stop = new AbortController()
  const giveUp = new AbortController()
  const sending: Promise<void>[] = []
  for (const output of config.outputs) {
    const outbox = internal.outboxes.get(output.name)
    if (outbox === undefined) continue
    const { sink } = await createOutput({ ...output, services: null, transforms: [] }, config, { clock, log: quiet, encode: ({ lines }) => lines.slice() })
    sending.push(send(output.name, outbox, sink, { clock, log: own, stop: stop.signal, giveUp: giveUp.signal }))
  }
  return {
    async close() {
      stop.abort(new Error('the collector ends'))
      const cancel = clock.after(LAST_TRY_MS, () => giveUp.abort(new Error('the log did not arrive in time')))
      await Promise.all(sending).finally(cancel)
    },
  }
}

interface SendOptions {
  readonly clock: Clock
  readonly log: Logger
  /** Wait for nothing more, and send what is there once. */
  readonly stop: AbortSignal
  readonly giveUp: AbortSignal
}

async function send(name: string, outbox: Outbox, sink: Sink, { clock, log, stop, giveUp }: SendOptions): Promise<void> {
  const backoff = retryBackoff()
  const stopped = (): boolean => stop.aborted
  try {
    while (!stopped()) {
      try {
        await outbox.some(stop)
        await clock.sleep(GATHER_MS, stop)
        await ship(outbox, sink, giveUp)
        if (backoff.failures > 0) log.info({ output: name }, `The collector's own log reaches ${name} again`)
        backoff.reset()
      } catch (error) {
        if (stopped()) break
        if (backoff.failures === 0) log.warn({ code: 'InternalEventsWait', output: name, err: error }, `The collector's own log does not reach ${name} now; events are not concerned: ${describeError(error)}`)
        await clock.sleep(backoff.next(), stop).catch(() => undefined)
      }
    }
    if (backoff.failures === 0) await ship(outbox, sink, giveUp).catch(() => undefined)
  } finally {
    await sink.close()
  }
}

/** All that waits in one shipment; what is not proven goes on waiting. */
async function ship(outbox: Outbox, sink: Sink, signal: AbortSignal): Promise<void> {
  const taken = outbox.take()
  if (taken.events.length === 0) return
  const delivery = sink.ship({ signal, reject: () => undefined })
  const batches = Readable.from([batchOf(taken.events)])
  if (typeof delivery === 'function') await pipeline(batches, delivery, { signal })
  else await pipeline(batches, delivery, { signal })
  outbox.arrived(taken)
}

/** Whole lines as Devo gets them: a line of the log has no pull, and no id of one. */
function batchOf(events: readonly InternalEvent[]): Batch {
  const host = hostname()
  const lines = events.map(({ time, level, body }) => Buffer.concat([linePrefix(time, host, `devo.collectors.out.local.${level}`), Buffer.from(`${body}\n`)]))
  return { inputId: '', service: '', pulledAt: 0, environment: null, lines: new Uint8Array(Buffer.concat(lines)), fingerprints: new Uint8Array(events.length * FINGERPRINT_BYTES) }
}
