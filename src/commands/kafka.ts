/**
 * What the commands need where the buffer is in Kafka. Imported when that is known and not before: with kafkajs it is a third of all that a
 * process would load.
 */
export { openKafkaDeadLetters } from '../buffers/kafka/dead-letter-store.ts'
export { checkFirstStart } from '../buffers/kafka/first-start.ts'
export { openKafkaBuffer } from '../buffers/kafka/kafka.ts'
export { openKafkaReplay } from '../buffers/kafka/replay.ts'
export { checkMoveToKafka, moveToKafka } from '../buffers/move/to-kafka.ts'
