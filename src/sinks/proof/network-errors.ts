import { RetryableError } from '../../pipeline/errors.ts'
import type { Address } from './opening.ts'

const NETWORK: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'refuses connections: nothing listens there, or a firewall rejects it',
  ENOTFOUND: 'has no address: the name does not exist, or DNS does not know it',
  EAI_AGAIN: 'has no address now: DNS does not answer',
  ETIMEDOUT: 'does not answer',
  EHOSTUNREACH: 'cannot be reached from this machine: no route to it',
  ENETUNREACH: 'cannot be reached from this machine: no network',
}

/** Says in words what the network's error means; null where it is another one. */
export function explainNetworkError(error: Error, { address, port }: Address): RetryableError | null {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  const where = `${address}:${port}`
  if (code === 'ECONNRESET' || code === 'EPIPE') return new RetryableError(`${where} reset the connection`, { code: 'PeerReset', cause: error })
  if (!Object.hasOwn(NETWORK, code)) return null
  return new RetryableError(`${where} ${NETWORK[code] ?? ''}`, { code: 'PeerUnreachable', cause: error })
}

export function noConnection({ address, port }: Address, seconds: number): RetryableError {
  return new RetryableError(`${address}:${port} does not answer: no connection within ${seconds} s`, { code: 'PeerUnreachable' })
}
