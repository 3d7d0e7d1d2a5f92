import type { Pull } from './event.ts'

/** Events by input and service. */
export class ServiceCounts {
  readonly #counts = new Map<string, number>()

  add({ inputId, service }: Pick<Pull, 'inputId' | 'service'>, events: number): void {
    const key = `${inputId}/${service}`
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + events)
  }

  addAll(others: ServiceCounts): void {
    for (const [key, events] of others.#counts) this.#counts.set(key, (this.#counts.get(key) ?? 0) + events)
  }

  get total(): number {
    return [...this.#counts.values()].reduce((sum, events) => sum + events, 0)
  }

  /** Each with its events, in no order. */
  *entries(): Generator<{ readonly inputId: string; readonly service: string; readonly events: number }, void, undefined> {
    for (const [key, events] of this.#counts) {
      // An id may hold a slash, a service none.
      const slash = key.lastIndexOf('/')
      yield { inputId: key.slice(0, slash), service: key.slice(slash + 1), events }
    }
  }

  /** `<input id>/<service>`, in the order of the alphabet. */
  get keys(): readonly string[] {
    return [...this.#counts.keys()].sort()
  }

  of(key: string): number {
    return this.#counts.get(key) ?? 0
  }
}
