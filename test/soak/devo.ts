import { RetryableError } from '../../src/pipeline/errors.ts'
import { behaviours, type DevoBehaviour } from '../../src/simulator/devo-behaviours.ts'
import { Random } from '../../src/simulator/tap-random.ts'
import type { Connect } from '../../src/sinks/proof/connection.ts'
import type { VirtualClock } from '../support/virtual-clock.ts'
import { DevoLink } from './devo-link.ts'
import type { Life } from './life.ts'

/** The collector's own limit for a connection. */
const CONNECT_TIMEOUT_MS = 10_000
/** A backend that has just lost something stays away for so long: a terminator cannot be told from Devo at the very moment of its return. */
const BACKEND_RETURNS_MS = 15_000

export type Away = 'refused' | 'no answer' | 'certificate'

export interface ModelDevoOptions {
  readonly seed: number
  readonly machine: VirtualClock
  readonly endpoint: 'close_notify' | 'fin'
  /** What was received for good: the lines of a connection, when it is known what becomes of them. */
  readonly onLines: (lines: readonly Buffer[], link: DevoLink) => void
}

/** Devo's ingestion endpoint, with faults that are switched on and off. */
export class ModelDevo {
  connections = 0
  readonly open = new Set<DevoLink>()
  readonly #options: ModelDevoOptions
  readonly #away: Away[] = []
  readonly #behaviours: { readonly behaviour: DevoBehaviour; readonly probability: number; readonly random: Random }[] = []
  #backends: number[] = []
  #backendUsedAt = -Infinity

  constructor(options: ModelDevoOptions) {
    this.#options = options
  }

  connectFor(life: Life): Connect {
    return async (watcher, signal) => {
      const { machine, seed } = this.#options
      await life.step('connect')
      signal.throwIfAborted()
      this.connections += 1
      const number = this.connections
      const random = new Random(seed, 'link', number)
      const latencyMs = 1 + random.below(random.chance(0.1) ? 120 : 30)
      await life.clock.sleep(3 * latencyMs, signal)
      await this.#refuse(life, signal)
      const link = new DevoLink({ number, life, machine, watcher, latencyMs, onSettled: (settled) => this.#settled(settled, random) })
      this.open.add(link)
      link.begin(this.#behaviour(), () => this.#drawn(true))
      return link.connection
    }
  }

  /** Each returns a function that takes it back. */
  goAway(how: Away): () => void {
    this.#away.push(how)
    return () => void this.#away.splice(this.#away.indexOf(how), 1)
  }

  behave(behaviour: DevoBehaviour, probability: number, seed: number): () => void {
    const entry = { behaviour, probability, random: new Random(this.#options.seed, 'behaviour', seed) }
    this.#behaviours.push(entry)
    return () => void this.#behaviours.splice(this.#behaviours.indexOf(entry), 1)
  }

  loseBackend(afterMs: number): () => void {
    this.#backends.push(afterMs)
    const comeBack = (): void => {
      const { machine } = this.#options
      if (machine.trueTime() - this.#backendUsedAt < BACKEND_RETURNS_MS) machine.after(BACKEND_RETURNS_MS, comeBack)
      else this.#backends = this.#backends.filter((other, index) => index !== this.#backends.indexOf(afterMs) || other !== afterMs)
    }
    return comeBack
  }

  /** Its process dies with what it has read and not ended. */
  kill(): () => void {
    for (const link of this.open) link.killServer()
    return this.goAway('refused')
  }

  /** The collector's process has died. */
  clientDied(life: Life): void {
    for (const link of this.open) if (link.life === life) link.die()
  }

  async #refuse(life: Life, signal: AbortSignal): Promise<void> {
    const away = this.#away.at(-1)
    if (away === undefined) return
    if (away === 'no answer') await life.clock.sleep(CONNECT_TIMEOUT_MS, signal)
    throw new RetryableError(`the model of Devo: ${away}`)
  }

  #behaviour(): DevoBehaviour {
    const backend = this.#backends.at(-1)
    if (backend !== undefined) {
      this.#backendUsedAt = this.#options.machine.trueTime()
      return behaviours.deadBackend(backend, 'discard')
    }
    return this.#drawn(false) ?? (this.#options.endpoint === 'fin' ? behaviours.bareFin() : behaviours.healthy())
  }

  /** A receiver that dies at our end does so at events; it is not one that dies at every probe. */
  #drawn(hasData: boolean): DevoBehaviour | null {
    const candidates = this.#behaviours.filter(({ behaviour }) => (behaviour.name === 'killed') === hasData)
    return candidates.filter(({ probability, random }) => random.chance(probability)).at(-1)?.behaviour ?? null
  }

  /** What was read on a connection that did not end in an orderly way is kept or lost. */
  #settled(link: DevoLink, random: Random): void {
    this.open.delete(link)
    if (link.isOrderly || random.chance(0.5)) this.#options.onLines(link.lines, link)
  }
}
