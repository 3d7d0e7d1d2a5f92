import { openClient as open, type Answer } from '../../https/client.ts'
import type { Clock } from '../../pipeline/clock.ts'
import type { HttpConfig } from './config.ts'

/** The answer to the largest bulk request is smaller. */
const LARGEST_ANSWER_BYTES = 64 * 1024 * 1024
const USER_AGENT = 'devo-proofpoint-tap-collector'

export type ClientConfig = Pick<HttpConfig, 'ca' | 'cert' | 'key' | 'headers' | 'authorization' | 'timeoutMs'>

/** The connections of one shipment. Whoever opens it owes a `close`. */
export interface Client {
  /** Rejects with a RetryableError where no whole answer comes in time, or with the signal's reason. */
  post(url: URL, headers: Readonly<Record<string, string>>, body: Uint8Array): Promise<Answer>
  /** Ends what is under way. Safe at any time, also twice. */
  close(): Promise<void>
}

/** With the login and the headers of the configuration in every request. Throws as the one below it does. */
export async function openClient(config: ClientConfig, clock: Clock, signal: AbortSignal): Promise<Client> {
  const client = await open(config, { clock, signal, largestAnswerBytes: LARGEST_ANSWER_BYTES, addressKey: 'url' })
  const own = { 'user-agent': USER_AGENT, accept: 'application/json', ...(config.authorization !== null && { authorization: config.authorization }) }
  return {
    post: async ({ origin, pathname, search }, headers, body) =>
      client.send({ method: 'POST', origin, path: `${pathname}${search}`, headers: { ...own, ...headers, ...lowerCased(config.headers) }, body }),
    close: async () => client.close(),
  }
}

/** So that a name in another spelling takes the place of ours and does not stand beside it. */
function lowerCased(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
}
