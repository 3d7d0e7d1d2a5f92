import { createServer, type AddressInfo, type Socket } from 'node:net'
import { pino } from 'pino'
import { onTestFinished } from 'vitest'
import type { KafkaClient } from '../../src/kafka/client.ts'
import { GroupMember, type Assignment, type GroupMemberOptions } from '../../src/kafka/group-member.ts'
import { cutConnections } from '../../src/kafka/cut.ts'
import type { Cluster } from '../../src/kafka/internals.ts'
import { systemClock, type Clock } from '../../src/pipeline/clock.ts'
import { RetryableError } from '../../src/pipeline/errors.ts'
import { givenBrokers } from '../support/kafka-broker.ts'
import { clientOf, makeTopic } from './partition-reader-support.ts'

const log = pino({ level: process.env.TEST_LOG ?? 'silent' })
/** Those of others allow none that are shorter than 6 s, unless told otherwise. */
export const SESSION_MS = givenBrokers() === null ? 2_000 : 6_000

export interface TestGroup {
  readonly client: KafkaClient
  readonly groupId: string
  readonly topic: string
  member(options?: Partial<GroupMemberOptions> & { readonly client?: KafkaClient }): GroupMember
}

/** A group over a topic of its own. Its members leave with the running test. */
export async function makeGroup(brokers: readonly string[], partitions: number): Promise<TestGroup> {
  const client = clientOf(brokers)
  const topic = await makeTopic(client, partitions)
  const groupId = `${topic}.members`
  return {
    client,
    topic,
    groupId,
    member({ client: ownClient = client, ...options } = {}) {
      const member = new GroupMember(ownClient, { groupId, topic, clock: systemClock, log, sessionTimeoutMs: SESSION_MS, ...options })
      onTestFinished(() => member.close())
      return member
    },
  }
}

/** A client whose process can be killed: its sockets close, and it opens no new ones. */
export function mortal(client: KafkaClient): { readonly client: KafkaClient; kill(): void } {
  const clusters: Cluster[] = []
  let isDead = false
  return {
    client: {
      ...client,
      cluster() {
        if (isDead) throw new RetryableError('killed')
        const cluster = client.cluster()
        clusters.push(cluster)
        return cluster
      },
    },
    kill() {
      isDead = true
      for (const cluster of clusters) cutConnections(cluster, new Error('killed'))
    },
  }
}

interface SilenceableClient {
  readonly client: KafkaClient
  readonly silence: () => void
  readonly dispose: () => Promise<void>
}

/** A client whose brokers fall silent: no connection ends, none is refused, and nothing is answered. */
export async function silenceable(client: KafkaClient): Promise<SilenceableClient> {
  const taken = new Set<Socket>()
  const hole = createServer((socket) => void taken.add(socket.on('error', () => undefined)))
  await new Promise<void>((resolve) => hole.listen(0, '127.0.0.1', resolve))
  const { port } = hole.address() as AddressInfo // it listens on a port
  const clusters: Cluster[] = []
  let isSilent = false
  return {
    client: {
      ...client,
      cluster() {
        if (isSilent) return clientOf([`127.0.0.1:${port}`]).cluster()
        const cluster = client.cluster()
        clusters.push(cluster)
        return cluster
      },
    },
    silence() {
      isSilent = true
      for (const { brokerPool } of clusters)
        for (const broker of Object.values(brokerPool.brokers)) for (const { socket } of broker?.connectionPool.pool ?? []) socket?.pause()
    },
    async dispose() {
      for (const socket of taken) socket.destroy()
      await new Promise((resolve) => hole.close(resolve))
    },
  }
}

/** A process that can be stopped as by SIGSTOP: no timer fires, and those that fell due all do when it goes on. */
export class SleepyClock implements Clock {
  readonly #isSuspended: boolean
  #asleep = false
  #sleptMs = 0
  #fellAsleepAt = 0
  #due: (() => void)[] = []
  readonly #timers = new Set<() => void>()

  /** `isSuspended`: the whole machine is, so that the monotonic clock stands still too. */
  constructor({ isSuspended = false } = {}) {
    this.#isSuspended = isSuspended
  }

  get timers(): number {
    return this.#timers.size
  }

  now(): number {
    return systemClock.now()
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return systemClock.sleep(ms, signal)
  }

  monotonic(): number {
    return (this.#asleep && this.#isSuspended ? this.#fellAsleepAt : systemClock.monotonic()) - this.#sleptMs
  }

  after(ms: number, callback: () => void): () => void {
    const at = this.monotonic() + ms
    let cancel: () => void = () => undefined
    const arm = (): void => {
      cancel = systemClock.after(at - this.monotonic(), fire)
    }
    const fire = (): void => {
      if (!this.#timers.has(fire)) return
      if (this.#asleep) this.#due.push(arm)
      else {
        this.#timers.delete(fire)
        callback()
      }
    }
    this.#timers.add(fire)
    arm()
    return () => {
      this.#timers.delete(fire)
      cancel()
    }
  }

  fallAsleep(): void {
    this.#asleep = true
    this.#fellAsleepAt = systemClock.monotonic()
  }

  wakeUp(): void {
    this.#asleep = false
    if (this.#isSuspended) this.#sleptMs += systemClock.monotonic() - this.#fellAsleepAt
    for (const arm of this.#due.splice(0)) arm()
  }
}

export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}

/** As a holder does: hold until the group changes, give back, join again. The last assignment is given to `onShare`. */
export async function hold(member: GroupMember, signal: AbortSignal, onShare: (share: Assignment) => void): Promise<void> {
  while (!signal.aborted) {
    const share = await member.join(signal)
    onShare(share)
    await aborted(AbortSignal.any([share.ending, signal]))
    await share.release()
  }
}
