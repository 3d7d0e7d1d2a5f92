import type { Clock } from '../../pipeline/clock.ts'
import type { CodeName } from '../../pipeline/codes.ts'
import type { Window } from '../../pipeline/unit.ts'
import type { ResponseTarget } from './chunks.ts'
import type { TapClient } from './client.ts'
import type { TapInputConfig, TapServiceConfig } from './config.ts'
import type { Step } from './steps.ts'
import type { ArrayCounts, ResponsePart } from './response.ts'
import { SharedReading } from './shared-reading.ts'
import { targetOf } from './targets.ts'
import { WindowReading } from './window-reading.ts'
import { isTooMuch } from './windows.ts'

/** One service's part in a request for a window. */
export interface WindowRequest {
  readonly service: TapServiceConfig
  readonly signal: AbortSignal
  readonly step: Step
  readonly isCaughtUp: boolean
  /** The arrays that the service has to read of a window. */
  arraysOf(window: Window): readonly string[]
  /** The step as it would be planned now: a request that had to wait may ask for more. */
  freshest(): Step
  /** The request goes out. */
  sent(): void
  /** An answer begins to arrive. */
  answered(): ResponseTarget
  /** The request has to wait. */
  onWait(reason: string, code: CodeName): void
}

/** An answer as one service reads it. Whoever gets it owes a `close`. */
export interface OpenWindow {
  /** What was asked for in the end. */
  readonly step: Step
  /** The API's time when the request was sent, not ahead of it; -Infinity where it is not known. */
  readonly requestedAt: number
  /** Null: the answer has been read whole. */
  next(): Promise<ResponsePart | null>
  /** Valid once `next` has given null. */
  result(): ArrayCounts & { readonly queryEndTime: number | null; readonly isTooMuch: boolean }
  close(): Promise<void>
}

export interface Requester {
  readonly input: TapInputConfig
  readonly client: TapClient
  readonly clock: Clock
}

/**
 * Sends one request for all of these services; the first one plans the window. Each gets the answer by itself: who gives up, because its signal
 * aborts, is in nobody's way. `lacking` is told for whom the answer brought nothing while it was good for others. Rejects as `TapClient.ask`.
 */
export function requestWindow(requests: readonly WindowRequest[], requester: Requester, lacking: (request: WindowRequest) => void): Promise<OpenWindow>[] {
  const everybodyGone = new AbortController()
  const entries: Entry[] = requests.map((request) => new Entry(request))
  for (const entry of entries) {
    entry.watch(() => {
      if (entries.every(({ isGone }) => isGone)) everybodyGone.abort(new Error('nobody wants the answer any more'))
    })
  }
  void send(entries, requester, everybodyGone.signal, lacking)
  return entries.map(({ opened }) => opened.promise)
}

/** One service while its request is sent and its answer is read. */
class Entry {
  readonly request: WindowRequest
  readonly opened = Promise.withResolvers<OpenWindow>()
  isGone = false
  /** Ends what is being read. */
  end: () => Promise<void> = async () => undefined
  #detach = (): void => undefined

  constructor(request: WindowRequest) {
    this.request = request
  }

  watch(gone: () => void): void {
    const { signal } = this.request
    const abort = (): void => {
      this.isGone = true
      this.opened.reject(signal.reason)
      this.end().catch(() => undefined)
      gone()
    }
    signal.addEventListener('abort', abort, { once: true })
    this.#detach = () => signal.removeEventListener('abort', abort)
    if (signal.aborted) abort()
  }

  fail(error: unknown): void {
    this.#detach()
    this.opened.reject(error)
  }

  /** Gives the service its own view of the answer. */
  open(reading: SharedReading, asked: Pick<OpenWindow, 'step' | 'requestedAt'>, lacking: (request: WindowRequest) => void): void {
    const { name } = this.request.service
    this.end = () => reading.close(name)
    this.opened.resolve({
      ...asked,
      next: async () => {
        try {
          return await reading.next(name)
        } finally {
          if (reading.lacks(name)) lacking(this.request)
        }
      },
      result: () => ({ ...reading.counts(name), queryEndTime: reading.queryEndTime, isTooMuch: isTooMuch(reading) }),
      close: () => {
        this.#detach()
        return reading.close(name)
      },
    })
  }
}

/** Never rejects. */
async function send(entries: readonly Entry[], { input, client, clock }: Requester, signal: AbortSignal, lacking: (request: WindowRequest) => void): Promise<void> {
  const present = (): Entry[] => entries.filter(({ isGone }) => !isGone)
  try {
    const planner = entries[0]?.request
    if (planner === undefined) return
    let { step } = planner
    let sentAt = 0
    const send = (): Window => {
      step = planner.freshest()
      sentAt = clock.monotonic()
      for (const { request } of present()) request.sent()
      return step.window
    }
    const answer = await client.ask(targetOf(input, entries.map(({ request }) => request.service)), send, {
      isCaughtUp: entries.every(({ request }) => request.isCaughtUp),
      signal,
      isPatient: true,
      onWait: (reason, code) => present().forEach(({ request }) => request.onWait(reason, code)),
    })
    const readers = present()
    if (readers.length === 0) {
      answer.release()
      return
    }
    const arraysOf = new Map(readers.map(({ request }) => [request.service.name, request.arraysOf(step.window)]))
    const arrays = new Map(readers.flatMap(({ request }) => targetsOf(request, step.window)))
    const options = { arrays, window: step.window, now: () => clock.now() }
    const reading = new SharedReading(new WindowReading(answer, options, clock, clock.monotonic() - sentAt), arraysOf)
    for (const entry of readers) entry.open(reading, { step, requestedAt: answer.requestedAt }, lacking)
  } catch (error) {
    for (const entry of entries) entry.fail(error)
  }
}

/** Where the events of each array go: they are what the array says, whichever service has asked for them. */
function targetsOf(request: WindowRequest, window: Window): [array: string, target: ResponseTarget][] {
  const { pull, seen } = request.answered()
  return request.arraysOf(window).map((array) => [array, { pull: { ...pull, service: array }, seen }])
}
