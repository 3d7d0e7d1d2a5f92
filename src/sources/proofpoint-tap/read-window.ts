import type { Position, Unit } from '../../pipeline/unit.ts'
import type { TapClient } from './client.ts'
import { TapError } from './errors.ts'
import type { ResponsePart } from './response.ts'
import type { ServicePulls } from './service-pulls.ts'
import type { Step } from './steps.ts'
import type { WindowLog } from './window-log.ts'
import type { OpenWindow } from './window-request.ts'
import { floorToSecond, writeTime, writeWindow } from './windows.ts'

export interface ReadingContext {
  readonly pulls: ServicePulls
  /** As it is before the window counts as read. */
  readonly position: Pick<Position, 'settled' | 'holes'>
  readonly log: WindowLog
  readonly client: TapClient
  readonly signal: AbortSignal
}

/** The step as it was asked for in the end, and what is left of it. */
export interface Whole {
  readonly step: Step
  /** The last part, whose unit is yet to be made; null: there is none. */
  readonly last: ResponsePart | null
  readonly requestedAt: number
  readonly servedTo: number
  readonly isTooMuch: boolean
}

export interface Failed {
  readonly step: Step
  readonly error: TapError
}

/** All units of a window but the last, whose position moves the mark. Throws the signal's reason, and bugs. */
export async function* readWindow(
  planned: Step,
  open: () => Promise<OpenWindow>,
  { pulls, position, log, client, signal }: ReadingContext,
): AsyncGenerator<Unit, Whole | Failed, undefined> {
  let step = planned
  let held: ResponsePart | null = null
  let opened: OpenWindow | null = null
  try {
    opened = await open()
    const { requestedAt } = opened
    step = opened.step
    const { window } = step
    for (let part = await opened.next(); part !== null; part = await opened.next()) {
      if (held !== null) yield pulls.unit(window, held, position)
      held = part
    }
    const { received, duplicates, invalidUtf8, queryEndTime, isTooMuch } = opened.result()
    const servedTo = floorToSecond(Math.min(window.to, queryEndTime ?? window.to))
    if (servedTo <= window.from) throw new TapError('broken', `the API was asked for ${writeWindow(window)} and answers only up to ${writeTime(servedTo)}`, { code: 'WindowCutShort' })
    pulls.received(received, duplicates)
    if (invalidUtf8 > 0) log.repaired(window, invalidUtf8)
    return { step, last: held, requestedAt, servedTo, isTooMuch }
  } catch (error) {
    signal.throwIfAborted()
    const failure = error instanceof TapError ? error : client.failureOf(error)
    if (held !== null) {
      // Real events all the same; their fingerprints keep them from coming again.
      pulls.received(held.events, 0)
      yield pulls.unit(step.window, held, position)
    }
    return { step, error: failure }
  } finally {
    await opened?.close()
  }
}
