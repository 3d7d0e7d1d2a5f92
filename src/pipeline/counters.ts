interface OfService {
  /** The input's name in the configuration. */
  readonly input: string
  readonly service: string
}

interface OfOutput {
  readonly output: string
}

/** What is counted since the start, by the metrics' names without their prefix, and the labels of each. Their values are few, whatever the events hold. */
export interface Counted {
  readonly events_received_total: OfService
  readonly events_duplicate_total: OfService
  readonly events_delivered_total: OfService & OfOutput
  /** `output` is empty where the source itself refused the event, so that it reached none. */
  readonly dead_letters_total: OfOutput & { readonly reason: 'refused' | 'malformed' }
  /** `status` is `none` where no answer came. */
  readonly api_requests_total: { readonly pool: string; readonly status: string }
  readonly delivery_attempts_total: OfOutput & { readonly result: 'delivered' | 'failed' }
}

export interface Measured {
  /** Seconds from the start of the attempt that was proven to its proof. */
  readonly delivery_duration_seconds: OfOutput
}

export interface Noted {
  /** Seconds since the epoch at which events of the service were last proven and saved as delivered. */
  readonly last_success_timestamp_seconds: OfService & OfOutput
}

/** Hears what happens. It returns at once and throws nothing: whoever tells it has other work to do. */
export interface Meter {
  add<N extends keyof Counted>(name: N, labels: Counted[N], amount: number): void
  observe<N extends keyof Measured>(name: N, labels: Measured[N], seconds: number): void
  note<N extends keyof Noted>(name: N, labels: Noted[N], value: number): void
}

/** The one seam through which the parts tell what happens. It keeps the sums, which the demo's lines read, and hands everything on to meters. */
export class Counters implements Meter {
  readonly #values = new Map<string, { readonly name: string; readonly labels: Readonly<Record<string, string>>; value: number }>()
  readonly #meters: Meter[] = []

  /** From here on `meter` hears everything as well. */
  tellTo(meter: Meter): void {
    this.#meters.push(meter)
  }

  add<N extends keyof Counted>(name: N, labels: Counted[N], amount = 1): void {
    const key = name + JSON.stringify(labels)
    const known = this.#values.get(key)
    if (known === undefined) this.#values.set(key, { name, labels: { ...labels }, value: amount })
    else known.value += amount
    for (const meter of this.#meters) meter.add(name, labels, amount)
  }

  observe<N extends keyof Measured>(name: N, labels: Measured[N], seconds: number): void {
    for (const meter of this.#meters) meter.observe(name, labels, seconds)
  }

  note<N extends keyof Noted>(name: N, labels: Noted[N], value: number): void {
    for (const meter of this.#meters) meter.note(name, labels, value)
  }

  /** The sum over all counters of this name whose labels include the given ones. */
  sum(name: keyof Counted, labels: Readonly<Record<string, string>> = {}): number {
    let sum = 0
    for (const counter of this.#values.values()) {
      if (counter.name === name && Object.entries(labels).every(([label, value]) => counter.labels[label] === value)) sum += counter.value
    }
    return sum
  }
}
