import type { BufferSnapshot } from '../../pipeline/buffer.ts'
import type { Gap, SeenFingerprints, ServiceState, Window } from '../../pipeline/unit.ts'
import { parseKey, windowText, type Layout, type SavedMove, type SavedOutput, type SavedPosition, type StateKey } from './state-records.ts'
import { RemovedLetters } from './removed-letters.ts'
import { readValue } from './state-values.ts'

/** The state of one service as the state topic tells it. */
interface ServiceView {
  readonly inputId: string
  readonly service: string
  position: SavedPosition | null
  readonly gaps: Map<string, Gap>
  /** By window and number; the bytes only where they were asked for. */
  readonly seen: Map<string, { readonly window: Window; readonly n: number; readonly fingerprints: Uint8Array | null }>
}

/**
 * What the state topic says, as far as it was applied: the last value of every key. Fingerprints are kept only for the input that asks
 * (a restore), or a view that lives long would hold them twice.
 */
export class StateView {
  layout: Layout | null = null
  /** Of an embedded buffer's content to here, whether done or not. */
  move: SavedMove | null = null
  readonly outputs = new Map<string, SavedOutput>()
  /** Of all that ever wrote. */
  readonly inputIds = new Set<string>()
  readonly removedLetters = new RemovedLetters()
  readonly #keepSeenOf: string | null
  readonly #services = new Map<string, ServiceView>()
  readonly #requests = new Map<string, Map<number, Map<string, number>>>()

  constructor(keepSeenOf: string | null = null) {
    this.#keepSeenOf = keepSeenOf
  }

  /** Throws FatalError on what no collector has written. */
  apply(key: string, value: Buffer | null): void {
    const parsed = parseKey(key)
    switch (parsed?.kind) {
      case 'layout':
        this.layout = readValue.layout(key, value)
        return
      case 'move':
        this.move = readValue.move(key, value)
        return
      case 'output': {
        const output = readValue.output(key, value)
        if (output === null) this.outputs.delete(parsed.name)
        else this.outputs.set(parsed.name, output)
        return
      }
      case 'requests':
        this.#applyRequests(parsed, readValue.requests(key, value))
        return
      case 'position':
        this.inputIds.add(parsed.inputId)
        this.#serviceOf(parsed).position = readValue.position(key, value)
        return
      case 'gap': {
        const gap = readValue.gap(key, value)
        const { gaps } = this.#serviceOf(parsed)
        if (gap === null) gaps.delete(windowText(parsed.window))
        else gaps.set(windowText(parsed.window), gap)
        return
      }
      case 'seen':
        this.#applySeen(parsed, readValue.seen(key, value))
        return
      case 'removed':
        if (readValue.removed(key, value) === null) this.removedLetters.delete(parsed.letters)
        else this.removedLetters.add(parsed.letters)
        return
      case 'marker':
        this.inputIds.add(parsed.inputId)
        return
      case undefined:
    }
  }

  /** Null where the service has never run. Fingerprints are there only of the input that the view keeps them of. */
  stateOf(inputId: string, service: string): ServiceState | null {
    const view = this.#services.get(serviceKey(inputId, service))
    if (view?.position == null) return null
    const seen = [...view.seen.values()].sort((a, b) => a.window.from - b.window.from || a.window.to - b.window.to || a.n - b.n)
    return {
      ...view.position,
      seen: seen.flatMap(({ window, fingerprints }): SeenFingerprints[] => (fingerprints === null ? [] : [{ window, fingerprints }])),
    }
  }

  /** The numbers of a service's saved fingerprints by window, and the windows themselves. */
  seenOf(inputId: string, service: string): readonly { readonly window: Window; readonly n: number }[] {
    return [...(this.#services.get(serviceKey(inputId, service))?.seen.values() ?? [])]
  }

  services(): BufferSnapshot['services'] {
    return [...this.#services.values()]
      .flatMap(({ inputId, service, position, gaps }) =>
        position === null
          ? []
          : [{ inputId, service, ...position, gaps: [...gaps.values()].sort((a, b) => a.from - b.from) }],
      )
      .sort((a, b) => compare(a.inputId, b.inputId) || compare(a.service, b.service))
  }

  requestsOf(pool: string): [minute: number, requests: number][] {
    return [...(this.#requests.get(pool) ?? [])]
      .map(([minute, writers]): [number, number] => [minute, [...writers.values()].reduce((sum, count) => sum + count, 0)])
      .sort(([a], [b]) => a - b)
  }

  /** The keys of what was counted before the minute. */
  requestsBefore(pool: string, before: number): StateKey[] {
    return [...(this.#requests.get(pool) ?? [])].flatMap(([minute, writers]) =>
      minute >= before ? [] : [...writers.keys()].map((writer): StateKey => ({ kind: 'requests', pool, minute, writer })),
    )
  }

  pools(): BufferSnapshot['pools'] {
    return [...this.#requests.keys()].sort(compare).map((pool) => ({ pool, minutes: this.requestsOf(pool) }))
  }

  #serviceOf({ inputId, service }: { readonly inputId: string; readonly service: string }): ServiceView {
    const key = serviceKey(inputId, service)
    let view = this.#services.get(key)
    if (view === undefined) {
      view = { inputId, service, position: null, gaps: new Map(), seen: new Map() }
      this.#services.set(key, view)
    }
    return view
  }

  #applySeen(key: StateKey & { readonly kind: 'seen' }, value: Uint8Array | null): void {
    const { seen } = this.#serviceOf(key)
    const name = `${windowText(key.window)}/${key.n}`
    if (value === null) seen.delete(name)
    else seen.set(name, { window: key.window, n: key.n, fingerprints: key.inputId === this.#keepSeenOf ? new Uint8Array(value) : null })
  }

  #applyRequests({ pool, minute, writer }: StateKey & { readonly kind: 'requests' }, count: number | null): void {
    const minutes = this.#requests.get(pool) ?? new Map<number, Map<string, number>>()
    const writers = minutes.get(minute) ?? new Map<string, number>()
    if (count === null) writers.delete(writer)
    else writers.set(writer, count)
    if (writers.size > 0) minutes.set(minute, writers)
    else minutes.delete(minute)
    if (minutes.size > 0) this.#requests.set(pool, minutes)
    else this.#requests.delete(pool)
  }
}

function serviceKey(inputId: string, service: string): string {
  return JSON.stringify([inputId, service])
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
