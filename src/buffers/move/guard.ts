import { existsSync } from 'node:fs'
import { FatalError } from '../../pipeline/errors.ts'
import { databasePath } from '../embedded/database.ts'
import { identityOfFile } from './embedded-source.ts'
import { pointerPath, readPointer } from './pointer.ts'

/**
 * Throws FatalError where the folder's events are in Kafka, so that the embedded buffer would begin anew, or again at where it was, in silence.
 * Beside a pointer to Kafka a `buffer.db` counts unless it is the very one that was moved there: then it is what a move back has made, which
 * removes the pointer last and was killed before that.
 */
export function assertNotInKafka(dir: string): void {
  const pointer = readPointer(dir)
  if (pointer === null) return
  const { topicPrefix, brokers, movedFrom } = pointer
  const where = `Kafka, topic_prefix ${topicPrefix} at ${brokers.join(', ')}`
  const path = databasePath(dir)
  if (!existsSync(path)) {
    throw new FatalError(
      `the marks and events of the state folder ${dir} are in ${where}. ` +
        'Carry them over with `tap-collector move --from OLD_CONFIG`, where OLD_CONFIG is the configuration with `buffer: {type: kafka}`; ' +
        `or remove ${pointerPath(dir)} to begin anew without them`,
      { code: 'EventsAreInKafka' },
    )
  }
  if (identityOfFile(dir) !== movedFrom) return
  throw new FatalError(
    `the content of ${path} was moved to ${where}, or is being moved there. Start the collector with \`buffer: {type: kafka}\`; to come back from there, ` +
      'rename the file and carry all over with `tap-collector move --from OLD_CONFIG`; ' +
      `or remove ${pointerPath(dir)} to go on with the file as it is: what was delivered from Kafka since then comes again`,
    { code: 'MovedToKafka' },
  )
}
