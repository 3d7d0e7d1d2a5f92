import { getEventListeners } from 'node:events'
import { beforeAll, expect, it, vi } from 'vitest'
import { GroupLostError } from '../../src/kafka/errors.ts'
import type { Assignment } from '../../src/kafka/group-member.ts'
import { commitOffsets, describeGroup, readOffsets } from '../../src/kafka/group-offsets.ts'
import { describeKafka, sharedBroker } from '../support/kafka.ts'
import { aborted, hold, makeGroup, mortal, SESSION_MS, SleepyClock, type TestGroup } from './group-support.ts'
import { never } from './partition-reader-support.ts'

const WAIT = { timeout: 5 * SESSION_MS, interval: 20 }
let brokers: readonly string[] = []

beforeAll(async () => {
  brokers = await sharedBroker()
})

function groupOver(partitions: number): Promise<TestGroup> {
  return makeGroup(brokers, partitions)
}

function at(offset: number, metadata = ''): { offset: number; metadata: string } {
  return { offset, metadata }
}

describeKafka('GroupMember', () => {
  it('alone holds all partitions, and knows of nothing committed', async () => {
    const group = await groupOver(3)
    const share = await group.member().join(never)
    expect(share.partitions).toEqual([0, 1, 2])
    expect(await share.committed()).toEqual(new Map([[0, null], [1, null], [2, null]]))
    expect([share.ending.aborted, share.lost.aborted]).toEqual([false, false])
  })

  it('keeps offsets with their metadata, for itself and for who is no member', async () => {
    const group = await groupOver(3)
    const share = await group.member().join(never)
    await share.commit(new Map([[0, at(12, '{"provenAt":5}')], [2, at(2 ** 40, 'é')]]))
    const expected = new Map([[0, at(12, '{"provenAt":5}')], [1, null], [2, at(2 ** 40, 'é')]])
    expect(await share.committed()).toEqual(expected)
    expect(await readOffsets(group.client, group.groupId, group.topic, [0, 1, 2])).toEqual(expected)
  })

  it('lets the first finish when a second joins: it commits with its generation, gives back, and both have a fair share', async () => {
    const group = await groupOver(4)
    const [first, second] = [group.member(), group.member()]
    const before = await first.join(never)
    const joining = second.join(never)
    await aborted(before.ending)
    expect(before.lost.aborted).toBe(false)
    await before.commit(new Map([[0, at(7)], [3, at(9)]]))
    await before.release()
    const [kept, given] = await Promise.all([first.join(never), joining])
    expect([kept.partitions, given.partitions]).toEqual([[0, 1], [2, 3]])
    expect(kept.generation).toBeGreaterThan(before.generation)
    expect(await given.committed()).toEqual(new Map([[2, null], [3, at(9)]]))
    await expect(before.commit(new Map([[0, at(1)]]))).rejects.toThrow(GroupLostError)
    expect((await kept.committed()).get(0)).toEqual(at(7))
  })

  it('gives more members than partitions nothing to do: they stand by, and take over', async () => {
    const group = await groupOver(1)
    const [first, second] = [group.member(), group.member()]
    const owned = await first.join(never)
    const joining = second.join(never)
    await aborted(owned.ending)
    await owned.release()
    const [again, standby] = await Promise.all([first.join(never), joining])
    expect([again.partitions, standby.partitions]).toEqual([[0], []])
    expect(await standby.committed()).toEqual(new Map())
    await standby.commit(new Map())
    await again.release()
    const startedAt = performance.now()
    await first.close()
    await aborted(standby.ending)
    expect((await second.join(never)).partitions).toEqual([0])
    expect(performance.now() - startedAt).toBeLessThan(SESSION_MS)
    expect(await describeGroup(group.client, group.groupId)).toEqual({ members: 1 })
  })

  it('is replaced within its session when it is killed', async () => {
    const group = await groupOver(2)
    const victim = mortal(group.client)
    const first = group.member({ client: victim.client })
    const second = group.member()
    const done = new AbortController()
    const shares: Assignment[] = []
    const holding = hold(first, done.signal, () => undefined).catch(() => undefined)
    const other = hold(second, done.signal, (share) => shares.push(share)).catch(() => undefined)
    await vi.waitFor(() => expect(shares.at(-1)?.partitions).toHaveLength(1), WAIT)
    const share = shares.at(-1)
    const killedAt = performance.now()
    victim.kill()
    await vi.waitFor(() => expect(shares.at(-1)?.partitions).toHaveLength(2), WAIT)
    expect(share?.ending.aborted).toBe(true)
    expect(performance.now() - killedAt).toBeLessThan(3 * SESSION_MS)
    done.abort()
    await Promise.all([holding, other])
  })

  it.each([{ isSuspended: false }, { isSuspended: true }])('that slept is lost, and overwrites nothing (%j)', async ({ isSuspended }) => {
    const group = await groupOver(1)
    const clock = new SleepyClock({ isSuspended })
    const sleeper = await group.member({ clock }).join(never)
    await sleeper.commit(new Map([[0, at(5, 'old')]]))
    clock.fallAsleep()
    const successor = await group.member().join(never)
    expect(await successor.committed()).toEqual(new Map([[0, at(5, 'old')]]))
    await successor.commit(new Map([[0, at(8, 'new')]]))
    // What was under way when it fell asleep goes on before any timer fires.
    await expect(sleeper.commit(new Map([[0, at(6, 'stale')]]))).rejects.toThrow(GroupLostError)
    clock.wakeUp()
    await aborted(sleeper.lost)
    expect(sleeper.ending.aborted).toBe(true)
    await expect(sleeper.commit(new Map([[0, at(6, 'stale')]]))).rejects.toThrow(GroupLostError)
    expect(await successor.committed()).toEqual(new Map([[0, at(8, 'new')]]))
  })

  it('that slept hears of it by its next heartbeat, and joins again', async () => {
    const group = await groupOver(1)
    const clock = new SleepyClock({ isSuspended: true })
    const member = group.member({ clock })
    const sleeper = await member.join(never)
    clock.fallAsleep()
    const other = group.member()
    const successor = await other.join(never)
    clock.wakeUp()
    await aborted(sleeper.lost)
    const again = member.join(never)
    await aborted(successor.ending)
    await successor.release()
    const [mine, theirs] = await Promise.all([again, other.join(never)])
    expect([mine.partitions, theirs.partitions]).toEqual([[], [0]])
  })

  it('stays a member by its commits alone', async () => {
    const group = await groupOver(1)
    const clock = new SleepyClock()
    const share = await group.member({ clock }).join(never)
    clock.fallAsleep()
    for (let offset = 1; offset <= 6; offset += 1) {
      await clock.sleep(SESSION_MS / 3)
      await share.commit(new Map([[0, at(offset)]]))
    }
    clock.wakeUp()
    await share.commit(new Map([[0, at(7)]]))
    expect([share.ending.aborted, share.lost.aborted]).toEqual([false, false])
  })

  it('loses its share when what is in flight takes too long', async () => {
    const group = await groupOver(1)
    const first = group.member({ rebalanceTimeoutMs: 2_000 })
    const share = await first.join(never)
    const joining = group.member().join(never)
    await aborted(share.ending)
    await aborted(share.lost)
    await expect(share.commit(new Map([[0, at(1)]]))).rejects.toThrow(GroupLostError)
    expect((await joining).partitions).toEqual([0])
  })

  it('stops joining at once when it is told to, and is no ghost that the others wait for', async () => {
    const group = await groupOver(2)
    const first = group.member()
    const held = await first.join(never)
    const second = group.member()
    const stop = new AbortController()
    const joining = second.join(stop.signal)
    await aborted(held.ending)
    const startedAt = performance.now()
    stop.abort(new Error('enough'))
    await expect(joining).rejects.toThrow('enough')
    expect(performance.now() - startedAt).toBeLessThan(500)
    await second.close()
    await held.release()
    expect((await first.join(never)).partitions).toEqual([0, 1])
    expect(performance.now() - startedAt).toBeLessThan(SESSION_MS)
  })

  it('joins again after a join that was aborted', async () => {
    const group = await groupOver(2)
    const first = group.member()
    const held = await first.join(never)
    const second = group.member()
    const stop = new AbortController()
    const aborting = second.join(stop.signal)
    await aborted(held.ending)
    stop.abort(new Error('enough'))
    await expect(aborting).rejects.toThrow('enough')
    const joining = second.join(never)
    await held.release()
    const shares = await Promise.all([first.join(never), joining])
    expect(shares.map(({ partitions }) => partitions)).toEqual([[0], [1]])
    expect(await describeGroup(group.client, group.groupId)).toEqual({ members: 2 })
  })

  it('throws the reason of a signal that was aborted before, and leaves after close what it was asked for', async () => {
    const group = await groupOver(1)
    const member = group.member()
    await expect(member.join(AbortSignal.abort(new Error('already')))).rejects.toThrow('already')
    const joining = member.join(never)
    const failing = expect(joining).rejects.toThrow('is closed')
    await member.close()
    await failing
    await expect(member.join(never)).rejects.toThrow('is closed')
    expect(await describeGroup(group.client, group.groupId)).toEqual({ members: 0 })
  })

  it('leaves no timer and no listener behind', async () => {
    const group = await groupOver(1)
    const clock = new SleepyClock()
    const stop = new AbortController()
    const member = group.member({ clock })
    const share = await member.join(stop.signal)
    await share.commit(new Map([[0, at(1)]]))
    expect(clock.timers).toBeGreaterThan(0)
    await share.release()
    await share.release()
    expect(clock.timers).toBe(0)
    await member.join(stop.signal)
    await Promise.all([member.close(), member.close()])
    expect(clock.timers).toBe(0)
    expect(getEventListeners(stop.signal, 'abort')).toEqual([])
  })
})

describeKafka('group-offsets', () => {
  it('commits for a group without members, and not for one with', async () => {
    const group = await groupOver(2)
    await commitOffsets(group.client, group.groupId, group.topic, new Map([[0, at(3)], [1, at(0)]]))
    expect(await readOffsets(group.client, group.groupId, group.topic, [0, 1])).toEqual(new Map([[0, at(3)], [1, at(0)]]))
    const share = await group.member().join(never)
    expect(await share.committed()).toEqual(new Map([[0, at(3)], [1, at(0)]]))
    await expect(commitOffsets(group.client, group.groupId, group.topic, new Map([[0, at(0)]]))).rejects.toThrow(GroupLostError)
    expect((await share.committed()).get(0)).toEqual(at(3))
  })

  it('knows nothing of a group that never was', async () => {
    const group = await groupOver(1)
    expect(await readOffsets(group.client, group.groupId, group.topic, [0])).toEqual(new Map([[0, null]]))
    expect(await describeGroup(group.client, group.groupId)).toEqual({ members: 0 })
  })
})
