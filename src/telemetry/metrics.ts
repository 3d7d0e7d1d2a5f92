import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Counted, Measured, Meter, Noted } from '../pipeline/counters.ts'

const PREFIX = 'tap_collector_'
/** The event loop's delay is looked at so often: the default of 10 ms would wake an idle collector a hundred times a second. */
const LOOP_PRECISION_MS = 100
const DURATION_BUCKETS_S = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300]

type LabelName = 'input' | 'service' | 'output' | 'reason' | 'pool' | 'status' | 'result' | 'version'

interface Description {
  readonly help: string
  readonly labels: readonly LabelName[]
}

const COUNTED: Readonly<Record<keyof Counted, Description>> = {
  events_received_total: { help: 'Events in the answers of the API, duplicates among them', labels: ['input', 'service'] },
  events_duplicate_total: { help: 'Events that were known already and went no further', labels: ['input', 'service'] },
  events_delivered_total: { help: 'Events that are proven to have arrived at an output', labels: ['input', 'service', 'output'] },
  dead_letters_total: {
    help: 'Events that cannot be delivered: refused for good by an output, or malformed, which the source finds before any output',
    labels: ['output', 'reason'],
  },
  api_requests_total: { help: 'Requests to the API by the HTTP status of their answer; none: there was no answer', labels: ['pool', 'status'] },
  delivery_attempts_total: { help: 'Shipments by how they ended; one that failed is sent again', labels: ['output', 'result'] },
}

/** What is read when somebody asks. */
const READ = {
  settled_timestamp_seconds: { help: 'The mark: everything created before it has been read', labels: ['input', 'service'] },
  gap_seconds_total: { help: 'Time that is lost for good, since the state was begun', labels: ['input', 'service'] },
  holes: { help: 'Pieces that the API cannot serve now; they are tried again every hour', labels: ['input', 'service'] },
  output_backlog_events: { help: 'Events not yet delivered, at most', labels: ['output'] },
  api_requests_remaining: { help: 'Requests that requests_limits allow now, of the credential that has the fewest left', labels: ['pool'] },
  certificate_expiry_timestamp_seconds: { help: 'When the client certificate of an output expires', labels: ['output'] },
} as const satisfies Record<string, Description>

/** One value of what is read when somebody asks, without the prefix of its name. */
export interface Reading {
  readonly name: keyof typeof READ
  readonly labels: Readonly<Partial<Record<LabelName, string>>>
  readonly value: number
}

export interface MetricsOptions {
  readonly version: string
  /** What there is to read now; what is not known is left out. It must not take long. */
  readonly read: () => Promise<readonly Reading[]>
}

/** The metrics in Prometheus's text format, in a registry of their own. Make one a process: it also watches the process itself. */
export class Metrics implements Meter {
  readonly #registry = new Registry()
  readonly #read: MetricsOptions['read']
  readonly #counters = new Map<string, Counter>()
  readonly #readings = new Map<string, Gauge | Counter>()
  readonly #durations: Histogram
  readonly #successes: Gauge

  constructor({ version, read }: MetricsOptions) {
    this.#read = read
    const settings = (name: string, { help, labels }: Description) => ({ name: PREFIX + name, help, labelNames: [...labels], registers: [this.#registry] })
    for (const [name, description] of Object.entries(COUNTED)) this.#counters.set(name, new Counter(settings(name, description)))
    for (const [name, description] of Object.entries(READ)) {
      this.#readings.set(name, name.endsWith('_total') ? new Counter(settings(name, description)) : new Gauge(settings(name, description)))
    }
    this.#durations = new Histogram({
      ...settings('delivery_duration_seconds', { help: 'From the start of a shipment to its proof, of the attempt that was proven', labels: ['output'] }),
      buckets: DURATION_BUCKETS_S,
    })
    this.#successes = new Gauge(
      settings('last_success_timestamp_seconds', { help: 'When events of the service were last proven to have arrived', labels: ['input', 'service', 'output'] }),
    )
    new Gauge(settings('build_info', { help: 'The version that runs', labels: ['version'] })).set({ version }, 1)
    collectDefaultMetrics({ register: this.#registry, eventLoopMonitoringPrecision: LOOP_PRECISION_MS })
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  add<N extends keyof Counted>(name: N, labels: Counted[N], amount: number): void {
    this.#counters.get(name)?.inc(pairs(labels), amount)
  }

  observe<N extends keyof Measured>(_name: N, labels: Measured[N], seconds: number): void {
    this.#durations.observe(pairs(labels), seconds)
  }

  note<N extends keyof Noted>(_name: N, labels: Noted[N], value: number): void {
    this.#successes.set(pairs(labels), value)
  }

  async text(): Promise<string> {
    const readings = await this.#read()
    // In one go, so that nobody who asks at the same time finds them half done.
    for (const metric of this.#readings.values()) metric.reset()
    for (const { name, labels, value } of readings) this.#readings.get(name)?.inc({ ...labels }, value)
    return this.#registry.metrics()
  }
}

/** Labels as the library takes them; their names are those of the descriptions above. */
function pairs(labels: object): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).map(([name, value]) => [name, String(value)]))
}
