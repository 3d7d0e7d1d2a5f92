import { once } from 'node:events'
import { expect, test } from 'vitest'
import { RetryableError } from '../../../src/pipeline/errors.ts'
import { numbered, unitOf } from '../../contract/buffer-units.ts'
import { describeKafka } from '../../support/kafka.ts'
import { Destination, makeTopics, startProcess } from './reading.ts'

const MINUTES = 60
const A_MINUTE = 100

describeKafka('on a Kafka buffer', () => {
  test('an output that is dead and one that is stuck hold up neither another one nor what is fetched; later they get everything, once', { timeout: 60_000 }, async () => {
    const topics = await makeTopics({ partitions: 3 })
    const [healthy, dead, stuck] = [new Destination(), new Destination(), new Destination()]
    const opened = Promise.withResolvers<undefined>()
    let isDead = true
    dead.prove = async () => {
      await Promise.resolve()
      if (isDead) throw new RetryableError('connection reset')
    }
    stuck.prove = async (_events, { signal }) => {
      await Promise.race([opened.promise, once(signal, 'abort')])
      signal.throwIfAborted()
    }
    const process = await startProcess(topics, [
      { name: 'dead', sink: dead.sink('1') }, { name: 'healthy', sink: healthy.sink('1') }, { name: 'stuck', sink: stuck.sink('1') },
    ])
    const fetching = await topics.open()
    await fetching.ownInputs(new AbortController().signal)
    // Each minute of the hour is fetched only when the healthy one has the one before: whoever held it up would end the hour here.
    for (let minute = 0; minute < MINUTES; minute += 1) {
      await fetching.append(unitOf({ chunks: [numbered(minute * A_MINUTE, A_MINUTE)] }))
      await healthy.until(() => healthy.delivered.length >= (minute + 1) * A_MINUTE)
    }
    const all = numbered(0, MINUTES * A_MINUTE)
    expect([dead.events, stuck.events]).toEqual([[], []])
    // Four shipments of 100 are in its hands, and the rest is in the topic.
    expect(stuck.written.length).toBeLessThanOrEqual(400)
    expect(process.conditions.list().map(({ part }) => part)).toContain('dead')
    isDead = false
    opened.resolve(undefined)
    await Promise.all([dead, stuck].map((destination) => destination.until(() => destination.delivered.length >= all.length)))
    for (const destination of [healthy, dead, stuck]) expect(destination.events.toSorted()).toEqual(all.toSorted())
    await process.stop()
  })
})
