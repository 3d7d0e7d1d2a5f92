/**
 * A move in a process of its own that is killed: after its n-th transaction, or, where milliseconds are given, so long after that one has begun.
 * Says how many transactions there were where it came to its end before.
 */
import { TransactionalProducer } from '../../../src/kafka/transactional-producer.ts'
import { moveToKafka } from '../../../src/buffers/move/to-kafka.ts'
import { kafkaOptions, moveOptions } from './filled.ts'

const [dir = '', brokers = '', prefix = '', transactions = '', within = ''] = process.argv.slice(2)

const die = (): Promise<never> => {
  process.kill(process.pid, 'SIGKILL')
  return new Promise(() => undefined)
}
let left = Number(transactions)
// Called with the producer as `this` below.
// eslint-disable-next-line @typescript-eslint/unbound-method
const { commit } = TransactionalProducer.prototype
TransactionalProducer.prototype.commit = async function (batches) {
  left -= 1
  if (left === 0 && within !== '') setTimeout(() => void die(), Number(within))
  const result = await commit.call(this, batches)
  return left === 0 ? die() : result
}
await moveToKafka(moveOptions(dir, kafkaOptions(brokers.split(','), prefix)))
process.stdout.write(`${Number(transactions) - left}\n`)
