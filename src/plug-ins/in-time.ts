import type { Clock } from '../pipeline/clock.ts'
import { RetryableError } from '../pipeline/errors.ts'

/** The outcome of foreign work, or a RetryableError once the time is over; the work itself cannot be ended, and its outcome then counts for nothing. */
export async function inTime<T>(work: Promise<T>, timeoutMs: number, clock: Clock, late: string): Promise<T> {
  const over = Promise.withResolvers<never>()
  const cancel = clock.after(timeoutMs, () => over.reject(new RetryableError(late, { code: 'PlugInStalled' })))
  try {
    return await Promise.race([work, over.promise])
  } finally {
    cancel()
  }
}

/** The outcome of foreign work, or the reason of the signal as soon as that aborts, whether the work heeds it or not. */
export async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const over = Promise.withResolvers<never>()
  const abort = (): void => over.reject(signal.reason)
  signal.addEventListener('abort', abort)
  if (signal.aborted) abort()
  try {
    return await Promise.race([work, over.promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
