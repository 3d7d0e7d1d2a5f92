import type { NetConnectOpts } from 'node:net'
import type { Clock } from '../../pipeline/clock.ts'
import type { RetryableError } from '../../pipeline/errors.ts'
import type { PeerConfig } from './config.ts'
import type { Connection } from './connection.ts'

export type Address = Pick<PeerConfig, 'address' | 'port'>

/** A connection that is being made. */
export interface Opening extends Connection {
  /** Rejects with what is wrong. */
  readonly whenOpen: Promise<unknown>
  /** Nothing of it is left open. */
  readonly whenClosed: Promise<unknown>
  /** How far it came within the seconds. */
  tooLate(seconds: number): RetryableError
}

/** For DNS, TCP and a TLS handshake together. */
const CONNECT_TIMEOUT_MS = 10_000
/** Node gives one of several addresses 250 ms by default, which is short for the other side of the world. */
const ADDRESS_TIMEOUT_MS = 2_000

/** For a socket whose end is ours to give: it stays open when the peer has ended its side. */
export function socketTo({ address, port }: Address): NetConnectOpts {
  return { host: address, port, noDelay: true, allowHalfOpen: true, autoSelectFamilyAttemptTimeout: ADDRESS_TIMEOUT_MS }
}

/** The connection once it is open; see `Connect` for what it rejects with. One that fails is closed by then. */
export async function opened(connection: Opening, clock: Clock, signal: AbortSignal): Promise<Connection> {
  const outcome = Promise.withResolvers<Connection>()
  const cancelTimer = clock.after(CONNECT_TIMEOUT_MS, () => outcome.reject(connection.tooLate(CONNECT_TIMEOUT_MS / 1000)))
  const abort = (): void => outcome.reject(signal.reason)
  signal.addEventListener('abort', abort)
  connection.whenOpen.then(() => outcome.resolve(connection), outcome.reject)
  try {
    return await outcome.promise
  } catch (error) {
    connection.destroy()
    await connection.whenClosed
    throw error
  } finally {
    cancelTimer()
    signal.removeEventListener('abort', abort)
  }
}

/**
 * For `Connection.afterArrivals`. A timer that is late runs before the sockets are asked. Two whole rounds of the event loop's poll phase lie
 * between three immediates: the first may read bytes, and only the second the end behind them.
 */
export function afterArrivals(callback: () => void): void {
  setImmediate(() => setImmediate(() => setImmediate(callback)))
}
