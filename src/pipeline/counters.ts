/** Labels of a counter, for instance `{service: 'clicksBlocked', output: 'devo_1'}`. */
export type Labels = Readonly<Record<string, string>>

/** What has happened since the start, by the metrics' names. The demo's lines read it, and whoever exports metrics. */
export class Counters {
  readonly #values = new Map<string, { readonly name: string; readonly labels: Labels; value: number }>()

  add(name: string, labels: Labels, amount = 1): void {
    const key = name + JSON.stringify(labels)
    const known = this.#values.get(key)
    if (known === undefined) this.#values.set(key, { name, labels, value: amount })
    else known.value += amount
  }

  /** The sum over all counters of this name whose labels include the given ones. */
  sum(name: string, labels: Labels = {}): number {
    let sum = 0
    for (const counter of this.#values.values()) {
      if (counter.name === name && Object.entries(labels).every(([label, value]) => counter.labels[label] === value)) sum += counter.value
    }
    return sum
  }
}
