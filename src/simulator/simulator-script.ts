import type { Clock } from '../pipeline/clock.ts'
import { SECOND_MS } from '../pipeline/time.ts'
import { behaviours } from './devo-behaviours.ts'
import type { DevoReceiver } from './devo-receiver.ts'
import type { TapFault } from './tap-faults.ts'
import type { TapServer } from './tap-server.ts'
import type { TapEvent } from './tap-store.ts'

export type FaultPhase = 'begins' | 'ends' | 'recovered'

export interface ScriptContext {
  readonly tap: TapServer
  readonly receiver: DevoReceiver
  readonly clock: Clock
  /** From now on, tells whether a line with each of these texts has reached the receiver. */
  readonly expect: (texts: readonly string[]) => () => boolean
  readonly signal: AbortSignal
}

/**
 * One thing that goes wrong. `strike` resolves when it is over, with a wait for the proof that the collector has come through it.
 * Both owe to end soon after the signal, with its reason as the error.
 */
export interface ScriptedFault {
  readonly description: string
  readonly strike: (context: ScriptContext) => Promise<() => Promise<void>>
}


/** What a demo plays in turn. Each waits for a collector that is there: without one the script stands still. */
export const DEMO_SCRIPT: readonly ScriptedFault[] = [
  ofApi('the API answers 429, too many requests, four times', { kind: 'status', status: 429, body: 'Too Many Requests', retryAfter: 2, times: 4 }),
  ofDevo('Devo resets the connection in the middle of a shipment', (receiver) => receiver.nextWithData(behaviours.reset({ lines: 2 }))),
  ofApi('the API answers 503 three times', { kind: 'status', status: 503, body: 'Service Unavailable', times: 3 }),
  ofApi('the API cuts two answers off in the middle', { kind: 'truncate', afterBytes: 0.5, framing: 'chunked', times: 2 }),
  lateEvents(25, 20 * SECOND_MS),
  devoAway(20 * SECOND_MS),
  ofApi('the API sends a page of HTML with status 200', { kind: 'html', times: 2 }),
  ofDevo('Devo takes a shipment and dies before it has stored it', (receiver) => receiver.nextWithData(behaviours.killed())),
  apiAway(10 * SECOND_MS),
]

/** Plays the faults over and over, with a pause before each, until the signal. */
export async function playScript(
  script: readonly ScriptedFault[],
  pauseMs: number,
  context: ScriptContext,
  onFault: (description: string, phase: FaultPhase) => void,
): Promise<void> {
  try {
    while (script.length > 0) {
      for (const { description, strike } of script) {
        await context.clock.sleep(pauseMs, context.signal)
        onFault(description, 'begins')
        const recovered = await strike(context)
        onFault(description, 'ends')
        await recovered()
        onFault(description, 'recovered')
      }
    }
  } catch (error) {
    if (error !== context.signal.reason) throw error
  }
}

/** Waits for a server's condition, but not beyond the signal. */
async function until(server: TapServer | DevoReceiver, condition: () => boolean, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  const abort = Promise.withResolvers<never>()
  const onAbort = () => abort.reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    await Promise.race([server.until(condition), abort.promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

/** A fault of so many answers. It is overcome when every endpoint that met it has answered well again. */
function ofApi(description: string, fault: TapFault): ScriptedFault {
  return {
    description,
    async strike({ tap, signal }) {
      const { faults, log } = tap.model
      const first = log.entries.length
      faults.set(fault)
      await until(tap, () => faults.list().every((active) => active.fault !== fault), signal)
      const end = log.entries.length
      const met = new Set(log.entries.slice(first).map(({ path }) => path))
      const answered = () => new Set(log.entries.slice(end).filter(({ status }) => status === 200).map(({ path }) => path))
      return () => until(tap, () => tap.answering === 0 && [...met].every((path) => answered().has(path)), signal)
    },
  }
}

/** A fault of the next shipment. It is overcome when another connection has brought events. */
function ofDevo(description: string, set: (receiver: DevoReceiver) => void): ScriptedFault {
  return {
    description,
    async strike({ receiver, signal }) {
      const { withData } = receiver.connections
      set(receiver)
      await until(receiver, () => receiver.connections.withData > withData, signal)
      let before = receiver.events
      return () =>
        until(receiver, () => {
          // What the struck connection brought, before or after its end, is no proof.
          if (receiver.connections.withData <= withData + 1) before = receiver.events
          return receiver.events > before
        }, signal)
    },
  }
}

function devoAway(ms: number): ScriptedFault {
  return {
    description: `Devo is away for ${ms / SECOND_MS} seconds`,
    async strike({ receiver, clock, signal }) {
      receiver.refuseConnections()
      receiver.disconnectAll('reset')
      const { events } = receiver
      await clock.sleep(ms, signal)
      await receiver.acceptConnections()
      return () => until(receiver, () => receiver.events > events, signal)
    },
  }
}

function apiAway(ms: number): ScriptedFault {
  return {
    description: `the API is away for ${ms / SECOND_MS} seconds`,
    async strike({ tap, clock, signal }) {
      tap.refuseConnections()
      tap.disconnectAll()
      await clock.sleep(ms, signal)
      await tap.acceptConnections()
      const end = tap.model.log.entries.length
      return () => until(tap, () => tap.model.log.entries.length > end && tap.answering === 0, signal)
    },
  }
}

/** Events that the API shows only when their time has long been read. They are overcome when each has arrived. */
function lateEvents(count: number, afterMs: number): ScriptedFault {
  return {
    description: `${count} events show up late, when their time was read already`,
    async strike({ tap, receiver, clock, signal, expect }) {
      const now = tap.model.serverTime()
      const ids = Array.from({ length: count }, (_, index) => `late-${now}-${String(index).padStart(4, '0')}`)
      const createdAt = now - 40 * SECOND_MS
      tap.model.events.add(
        ...ids.map((id): TapEvent => {
          const content = { url: 'https://late.example.com/', clickTime: new Date(createdAt).toISOString(), id, GUID: id, threatStatus: 'active' }
          return { service: 'clicksPermitted', createdAt, visibleAt: now + afterMs, content }
        }),
      )
      const haveArrived = expect(ids)
      await clock.sleep(afterMs, signal)
      return () => until(receiver, haveArrived, signal)
    },
  }
}
