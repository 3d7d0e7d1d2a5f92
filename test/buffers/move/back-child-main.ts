/**
 * A move to the embedded buffer in a process of its own that is killed right behind the n-th call of one of its steps: `commit` is a transaction
 * at Kafka, all others are what the new file gets.
 */
import { EmbeddedTarget } from '../../../src/buffers/move/embedded-target.ts'
import { moveToEmbedded } from '../../../src/buffers/move/to-embedded.ts'
import { TransactionalProducer } from '../../../src/kafka/transactional-producer.ts'
import { kafkaOptions } from './filled.ts'

const [dir = '', brokers = '', prefix = '', step = '', nth = ''] = process.argv.slice(2)
let left = Number(nth)

function killBehind(prototype: object, method: string): void {
  // Both are classes of this program, and the method is one that every instance has.
  const methods = prototype as Record<string, (...args: unknown[]) => unknown>
  const original = methods[method]
  if (original === undefined) throw new Error(`there is no step ${method}`)
  methods[method] = function (...args) {
    const result = original.apply(this, args)
    left -= 1
    if (left > 0) return result
    const die = (): void => void process.kill(process.pid, 'SIGKILL')
    if (result instanceof Promise) return result.then(die)
    die()
    return result
  }
}

killBehind(step === 'commit' ? TransactionalProducer.prototype : EmbeddedTarget.prototype, step)
await moveToEmbedded({ ...kafkaOptions(brokers.split(','), prefix), groupTimeouts: { sessionTimeoutMs: 1_500 }, dir, maxSizeBytes: 2 ** 30, signal: new AbortController().signal })
