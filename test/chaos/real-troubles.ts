import { rm, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { expect } from 'vitest'
import { behaviours, type DevoBehaviour } from '../../src/simulator/devo-behaviours.ts'
import type { Random } from '../../src/simulator/tap-random.ts'
import type { Collector } from '../e2e/collector.ts'
import type { World } from '../e2e/world.ts'
import type { KafkaProxy } from '../kafka/kafka-proxy.ts'
import type { Ledger } from './real-ledger.ts'

export const TROUBLES = ['kill', 'stop', 'sleep', 'receiver away', 'API away', 'disk full', 'Kafka away'] as const
export type Trouble = (typeof TROUBLES)[number]

const MIB = 2 ** 20

export interface Place {
  readonly world: World
  readonly ledger: Ledger
  readonly random: Random
  /** On the way to Kafka; null where the buffer is the embedded one. */
  readonly proxy: KafkaProxy | null
  /** The state folder is a file system of its own, which can be filled. */
  readonly ownDisk: boolean
}

/** Runs one process of the executable after the other, and does to it and around it what can happen. */
export class TroubledCollector {
  readonly #place: Place
  #collector: Collector | null = null

  constructor(place: Place) {
    this.#place = place
    const { world, ledger, random } = place
    world.receiver.behaviour = (number) => {
      if (!random.chance(0.1)) return behaviours.healthy()
      ledger.failed([number])
      return faulty(random)
    }
    const { faults } = world.model
    faults.set({ kind: 'status', status: 503, probability: 0.03 })
    faults.set({ kind: 'truncate', afterBytes: 0.7, framing: 'chunked', probability: 0.03 })
    faults.set({ kind: 'reset', afterBytes: 0.4, probability: 0.03 })
    faults.set({ kind: 'html', probability: 0.02 })
  }

  get isRunning(): boolean {
    return this.#collector !== null
  }

  start(): Collector {
    const { world, ledger } = this.#place
    const collector = world.start(['run'])
    this.#collector = collector
    ledger.begins(collector, world.receiver.connections.secured + 1)
    return collector
  }

  /** From here on nothing goes wrong any more. */
  endOfTrouble(): Collector {
    const { world, proxy } = this.#place
    world.model.faults.clear()
    world.receiver.behaviour = behaviours.healthy()
    if (proxy !== null) proxy.fate = () => 'pass'
    return this.#collector ?? this.start()
  }

  /** Resolves when it is over; a process that it ended has not been started again. */
  async meet(trouble: Trouble): Promise<void> {
    const { random } = this.#place
    const ms = 300 + random.below(2_000)
    switch (trouble) {
      case 'kill':
        return this.#kill()
      case 'stop':
        return this.#stop()
      case 'sleep':
        return this.#sleep(ms)
      case 'receiver away':
        return this.#receiverAway(ms)
      case 'API away':
        return this.#apiAway(ms)
      case 'disk full':
        return this.#diskFull(ms)
      case 'Kafka away':
        return this.#kafkaAway(ms)
    }
  }

  async #kill(): Promise<void> {
    const { world, ledger } = this.#place
    const collector = this.#collector
    this.#collector = null
    if (collector === null) return
    ledger.interrupted()
    collector.kill('SIGKILL')
    // In the same moment, so before anything that the kill does to them can be seen here.
    ledger.failed(world.receiver.openNumbers)
    expect(await collector.end()).toMatchObject({ code: null, signal: 'SIGKILL' })
    await world.receiver.until(() => world.receiver.openConnections === 0)
  }

  async #stop(): Promise<void> {
    const collector = this.#collector
    this.#collector = null
    if (collector === null) return
    // Before that nobody listens to signals.
    await collector.until(() => collector.log.length > 0, 'life')
    expect(await collector.stop()).toMatchObject({ code: 0 })
    this.#place.ledger.stopped()
  }

  /** The rest of the world goes on meanwhile, and may have given it up when it wakes. */
  async #sleep(ms: number): Promise<void> {
    this.#collector?.kill('SIGSTOP')
    await wait(ms)
    this.#collector?.kill('SIGCONT')
  }

  async #receiverAway(ms: number): Promise<void> {
    const { receiver } = this.#place.world
    receiver.refuseConnections()
    this.#place.ledger.failed(receiver.openNumbers)
    receiver.disconnectAll('reset')
    await wait(ms)
    await receiver.acceptConnections()
  }

  async #apiAway(ms: number): Promise<void> {
    const { tap } = this.#place.world
    tap.refuseConnections()
    tap.disconnectAll()
    await wait(ms)
    await tap.acceptConnections()
  }

  /** But for some room, which may be too little for a transaction and enough for a part of it. */
  async #diskFull(ms: number): Promise<void> {
    const { random, world } = this.#place
    const ballast = join(world.stateDir, 'ballast')
    const { bavail, bsize } = await statfs(world.stateDir)
    // What the collector itself writes meanwhile may make it full before.
    await writeFile(ballast, Buffer.alloc(Math.max(0, bavail * bsize - random.below(2 * MIB)))).catch(ignoreFull)
    await wait(ms)
    // A death on a full disk, now and then.
    if (random.chance(0.3)) await this.#kill()
    await rm(ballast)
  }

  async #kafkaAway(ms: number): Promise<void> {
    const { proxy } = this.#place
    if (proxy === null) return
    this.#place.ledger.interrupted()
    proxy.fate = () => 'lose'
    await wait(ms)
    proxy.fate = () => 'pass'
  }
}

function ignoreFull(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOSPC') throw error
}

/** A connection that may end in any way but the good one, and what it did. */
function faulty(random: Random): DevoBehaviour {
  const lines = random.below(300)
  const all = [behaviours.reset({ lines }), behaviours.endEarly({ lines }), behaviours.killed({ lines }), behaviours.endEarly('at once'), behaviours.endEarly({ lines }, { ends: 'fin' })]
  return all[random.below(all.length)] ?? behaviours.healthy()
}
