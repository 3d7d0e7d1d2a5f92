import { logLevel, type logCreator } from 'kafkajs'
import type { Logger } from 'pino'

/**
 * kafkajs's own log into ours. Whatever matters to a user comes out as an error of the call and is told where it is handled; kafkajs also
 * logs what it retries or what is no fault at all (CONCURRENT_TRANSACTIONS after every transaction), so that all of it is for debugging.
 */
export function kafkaLogCreator(log: Logger): logCreator {
  return () =>
    ({ level, namespace, log: { message, error, broker } }) => {
      if (level === logLevel.NOTHING || level === logLevel.DEBUG) return
      // Only these three fields: others hold whole requests.
      const fields = { part: `kafkajs/${namespace}`, ...(broker !== undefined && { broker: String(broker) }), ...(error !== undefined && { error: String(error) }) }
      log.debug(fields, message)
    }
}
