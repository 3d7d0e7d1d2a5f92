import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { readOffsets } from '../../src/kafka/group-offsets.ts'
import { RetryableError } from '../../src/pipeline/errors.ts'
import { startBroker, type TestBroker } from '../support/kafka-broker.ts'
import { aborted, makeGroup, never, SESSION_MS, SHORT_SESSIONS, silenceable, SleepyClock, withBroker, type TestGroup } from './group-support.ts'

let broker: TestBroker
const groups: TestGroup[] = []

beforeAll(async () => {
  broker = await startBroker({ properties: SHORT_SESSIONS })
}, 120_000)

afterEach(async () => {
  await Promise.all(groups.splice(0).map((group) => group.close()))
})

afterAll(() => broker.dispose())

async function groupOver(partitions: number): Promise<TestGroup> {
  const group = await makeGroup(broker.brokers, partitions)
  groups.push(group)
  return group
}

withBroker('GroupMember with a broker that breaks', () => {
  it.each(['SIGTERM', 'SIGKILL'] as const)('loses its share when the broker ends (%s), and joins again when it is back', async (signal) => {
    const group = await groupOver(2)
    const clock = new SleepyClock()
    const member = group.member({ clock })
    const share = await member.join(never)
    await share.commit(new Map([[0, { offset: 4, metadata: 'x' }]]))
    await broker.stop(signal)
    await expect(share.commit(new Map([[0, { offset: 5, metadata: '' }]]))).rejects.toThrow(RetryableError)
    await expect(share.committed()).rejects.toThrow(RetryableError)
    await aborted(share.lost)
    await share.release()
    await expect(member.join(never)).rejects.toThrow(RetryableError)
    await broker.start()
    let again = null
    while (again === null) again = await member.join(never).catch(retryable)
    expect(again.partitions).toEqual([0, 1])
    expect(await again.committed()).toEqual(new Map([[0, { offset: 4, metadata: 'x' }], [1, null]]))
    await member.close()
    expect(clock.timers).toBe(0)
  }, 60_000)

  it('keeps its share over a restart that is shorter than its session', async () => {
    const group = await groupOver(1)
    const member = group.member({ sessionTimeoutMs: 60_000 })
    const share = await member.join(never)
    await broker.stop()
    await broker.start()
    let isCommitted = false
    while (!isCommitted) isCommitted = await share.commit(new Map([[0, { offset: 4, metadata: '' }]])).then(() => true, retryable) ?? false
    expect([share.ending.aborted, share.lost.aborted]).toEqual([false, false])
    expect((await share.committed()).get(0)?.offset).toBe(4)
  }, 60_000)

  it('does not wait for a broker that says nothing: not for the session, not to stop joining, not to close', async () => {
    const group = await groupOver(1)
    const { client, silence, dispose } = await silenceable(group.client)
    try {
      const [member, second] = [group.member({ client }), group.member({ client })]
      const share = await member.join(never)
      silence()
      const startedAt = performance.now()
      await aborted(share.lost)
      expect(performance.now() - startedAt).toBeLessThan(2 * SESSION_MS)
      const stop = new AbortController()
      const joining = second.join(stop.signal)
      stop.abort(new Error('enough'))
      await expect(joining).rejects.toThrow('enough')
      await Promise.all([member.close(), second.close()])
      expect(performance.now() - startedAt).toBeLessThan(3 * SESSION_MS)
    } finally {
      await dispose()
    }
  })

  it('is told when the broker is away, also who is no member', async () => {
    const group = await groupOver(1)
    await broker.stop('SIGKILL')
    await expect(readOffsets(group.client, group.groupId, group.topic, [0])).rejects.toThrow(RetryableError)
    await expect(group.member().join(never)).rejects.toThrow(/joining the group .*ECONNREFUSED/)
    await broker.start()
  }, 60_000)
})

function retryable(error: unknown): null {
  if (!(error instanceof RetryableError)) throw error
  return null
}
