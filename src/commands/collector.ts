import type { Logger } from 'pino'
import { checkStartTimes } from '../config/load.ts'
import type { CollectorConfig } from '../config/types.ts'
import { retryBackoff } from '../pipeline/backoff.ts'
import { hasBegunAt } from '../pipeline/beginning.ts'
import type { EventBuffer } from '../pipeline/buffer.ts'
import type { Clock } from '../pipeline/clock.ts'
import { Conditions } from '../pipeline/conditions.ts'
import type { Counters } from '../pipeline/counters.ts'
import { ConfigurationError, describeError, RetryableError } from '../pipeline/errors.ts'
import type { Source } from '../pipeline/source.ts'
import { supervise, type Output } from '../pipeline/supervisor.ts'
import type { Connect } from '../sinks/proof/connection.ts'
import type { HttpRequest } from '../sources/proofpoint-tap/http.ts'
import { rolesOf } from '../sources/proofpoint-tap/services.ts'
import { createTapSources } from '../sources/proofpoint-tap/source.ts'
import { startHealthServer, type HealthServer } from '../telemetry/health.ts'
import { HourlyEvents } from '../telemetry/hourly-events.ts'
import type { Metrics, MetricsOptions } from '../telemetry/metrics.ts'
import { openBuffer, type OpenOptions } from './buffer.ts'
import { createOutputs } from './components.ts'
import { scrubberFor } from './load.ts'
import { BufferLook } from './look.ts'
import { pageState } from './page-state.ts'
import { loadPlugIns } from './plug-ins.ts'
import { readiness } from './readiness.ts'
import { beginCounting, readings } from './readings.ts'
import { version } from './version.ts'

/** What a simulation puts in the place of the real thing, beside the clock. Left out, each is the real thing. */
export interface Seams {
  readonly request?: HttpRequest
  readonly connect?: Connect
  readonly openBuffer?: (config: CollectorConfig, options: OpenOptions) => Promise<EventBuffer>
}

/** A folder in use is told long before. Brokers that take connections and say nothing are waited for in vain much longer. */
const SERVE_AFTER_MS = 5_000

export interface CollectorOptions {
  readonly config: CollectorConfig
  readonly clock: Clock
  readonly log: Logger
  readonly counters: Counters
  readonly stop: AbortSignal
  readonly once: boolean
  readonly seams?: Seams
  /** Hears the port of the status page. */
  readonly onServing?: (port: number) => void
}

/**
 * The whole collector from a checked configuration until the stop signal or, with `once`, until everything due is delivered.
 * Throws ConfigurationError (start times, which need the state), FatalError and bugs; with `once` also what could not be reached.
 */
export async function runCollector(options: CollectorOptions): Promise<void> {
  const { config, clock, log, counters, stop, once, onServing, seams: { request, connect } = {} } = options
  const conditions = new Conditions(() => clock.now())
  const open: { buffer: EventBuffer | null; http: HealthServer | null; sources: readonly Source[]; outputs: readonly Output[] } = {
    buffer: null,
    http: null,
    sources: [],
    outputs: [],
  }
  const look = new BufferLook(() => open.buffer)
  const hours = new HourlyEvents(() => clock.now())
  const metrics = config.http.enabled && !once ? await createMetrics(async () => readings(config, (await look.take()) ?? look.latest, clock.now())) : null
  if (metrics !== null) {
    counters.tellTo(metrics)
    counters.tellTo(hours)
  }
  beginCounting(config, counters)
  try {
    // Not before the first try of the buffer: a second collector on the folder says who holds it, and nothing about a busy port.
    const startServing = async (): Promise<void> => {
      const { host, isHostGiven, port, token } = config.http
      if (metrics === null) return
      const startedAt = clock.now()
      const scrubber = scrubberFor(config)
      const state = async (): Promise<string> => scrubber.scrubJson(JSON.stringify(await pageState({ config, conditions, look, hours, scrubber, startedAt, now: clock.now() })))
      open.http = await startHealthServer({ host, isHostGiven, port, token, log, metrics, state, readiness: () => readiness(config, conditions, look, scrubber) })
      if (open.http.port !== null) onServing?.(open.http.port)
    }
    let serving: Promise<void> | null = null
    const serve = (): Promise<void> => (serving ??= startServing())
    // Its error comes again from the call below.
    const cancel = clock.after(SERVE_AFTER_MS, () => void serve().catch(() => undefined))
    // What is wrong with them is known at once, however long the buffer takes.
    await loadPlugIns(config, clock)
    const buffer = await openWhenPossible(options, conditions, serve).finally(cancel)
    if (buffer === null) return
    open.buffer = buffer
    await serve()
    open.sources = await createTapSources(config.inputs, { clock, log, quotaLog: buffer, conditions, counters, ...(request && { request }) })
    open.outputs = await createOutputs(config, { clock, log, ...(connect && { connect }) })
    await supervise({ sources: open.sources, outputs: open.outputs, buffer, clock, log, conditions, counters, stop, once })
  } finally {
    await Promise.allSettled([...open.sources.map((source) => source.close()), ...open.outputs.map(({ sink }) => sink.close())])
    await open.buffer?.close()
    await open.http?.close()
  }
}

/** The library is large: only who serves metrics loads it. */
async function createMetrics(read: MetricsOptions['read']): Promise<Metrics> {
  const { Metrics } = await import('../telemetry/metrics.ts')
  return new Metrics({ version: version(), read })
}

/** A state folder that cannot be written and brokers that are away are waited for; null where the stop came first. */
async function openWhenPossible(
  { config, clock, log, stop, once, seams = {} }: CollectorOptions,
  conditions: Conditions,
  onWait: () => Promise<void>,
): Promise<EventBuffer | null> {
  const backoff = retryBackoff()
  const stopped = (): boolean => stop.aborted
  while (!stopped()) {
    try {
      const onMove = async (): Promise<void> => {
        conditions.set('buffer', 'what the embedded buffer holds is being moved to Kafka', { code: 'MovePending' })
        await onWait()
      }
      const buffer = await (seams.openBuffer ?? openBuffer)(config, { clock, log, stop, onMove })
      try {
        await assertStartTimes(config, buffer, clock.now())
      } catch (error) {
        await buffer.close()
        throw error
      }
      conditions.clear('buffer')
      return buffer
    } catch (error) {
      if (stopped()) return null
      if (!(error instanceof RetryableError) || once) throw error
      if (conditions.set('buffer', describeError(error), { code: 'BufferUnavailable', err: error }))
        log.error({ code: 'BufferUnavailable', err: error }, `The buffer cannot be opened, trying again: ${describeError(error)}`)
      await onWait()
      await clock.sleep(backoff.next(), stop).catch(() => undefined)
    }
  }
  return null
}

/** Whether a start time may be as old as it likes depends on whether the service has a state already. */
async function assertStartTimes(config: CollectorConfig, buffer: EventBuffer, now: number): Promise<void> {
  const known = new Map<string, { readonly name: string; readonly startTime: number | null }[]>()
  for (const input of config.inputs) {
    const states: { name: string; startTime: number | null }[] = []
    for (const name of new Set(input.services.flatMap((service) => [service, ...rolesOf(service.name).replaces].map((reader) => reader.name)))) {
      const state = await buffer.loadService(input.id, name)
      if (state !== null) states.push({ name, startTime: state.startTime })
    }
    known.set(input.id, states)
  }
  const problems = checkStartTimes(config, (inputId, name, startTime) => hasBegunAt({ name, ...rolesOf(name) }, startTime, known.get(inputId) ?? []), now)
  if (problems.length > 0) throw new ConfigurationError(problems)
}
