import { randomBytes } from 'node:crypto'
import { Writable } from 'node:stream'
import type { Logger } from 'pino'
import type { CollectorConfig } from '../config/types.ts'
import { systemClock } from '../pipeline/clock.ts'
import { Conditions, isBelow } from '../pipeline/conditions.ts'
import { countingSink } from '../pipeline/counting-sink.ts'
import { Counters } from '../pipeline/counters.ts'
import { deliver } from '../pipeline/deliver.ts'
import { ConfigurationError, describeError, RetryableError } from '../pipeline/errors.ts'
import { CHUNK_MAX_EVENTS, releaseBytes, type Batch } from '../pipeline/event.ts'
import { Pace } from '../pipeline/pace.ts'
import { ReplayBuffer } from '../pipeline/replay.ts'
import { ReplayPositions } from '../pipeline/replay-positions.ts'
import type { ReplayStore } from '../pipeline/replay-store.ts'
import { ServiceCounts } from '../pipeline/service-counts.ts'
import type { Sink } from '../pipeline/sink.ts'
import type { Output } from '../pipeline/supervisor.ts'
import { openReplay } from './buffer.ts'
import { createOutputs } from './components.ts'
import { EXIT } from './exit.ts'
import { load, loggerFor, logWarnings } from './load.ts'
import { CLEAR_LINE, showProgress, type OutputProgress } from './replay-progress.ts'
import { replayReport } from './replay-report.ts'
import { iso, readRequest, resumeCommand, type ReplayOptions, type ReplayRequest } from './replay-request.ts'
import { stopsOnSignals, type Stops } from './signals.ts'
import { tellTrouble } from './tell.ts'

/** Under a rate a shipment is as long as this, so that it is proven, and its place kept, soon. */
const SHIPMENT_S = 5
/** A part of a second's events, so that they go evenly. */
const BATCHES_PER_SECOND = 10
const ID = /^[0-9a-f]{8}$/

/** `replay`: sends events again out of the buffer, beside a running collector or without one, whose own places in it stay as they are. */
export async function replay(options: ReplayOptions): Promise<number> {
  const { config, warnings } = await load(options)
  const log = loggerFor(config, 2, { before: process.stderr.isTTY ? CLEAR_LINE : '' })
  logWarnings(log, warnings)
  const now = systemClock.now()
  const request = readRequest(options, config, now)
  if (options.to > now) log.warn({ code: 'ReplayBeyondNow' }, `--to lies in the future: what comes into the buffer after ${iso(now)} is not sent again`)

  const signals = stopsOnSignals(log)
  let store: ReplayStore | null = null
  try {
    store = await openReplay(config, log, request.pulled)
    assertHeld(store, options)
    if (store.hasRemoved && store.oldestPull !== null && options.from < store.oldestPull)
      log.warn({ code: 'ReplayBeyondBuffer' }, `What was pulled before ${iso(store.oldestPull)} is no longer in the buffer`)
    return await run({ options, request, config, store, log, stop: signals.stop, abort: signals.abort })
  } catch (error) {
    if (!(error instanceof RetryableError)) throw error
    tellTrouble(`Nothing was sent: ${describeError(error)}`, { code: 'ReplayUnreachable', err: error })
    return EXIT.failure
  } finally {
    signals.dispose()
    await store?.close()
  }
}

/** A range of which the buffer has nothing is a mistake, or too late. An event may be much older than its pull. */
function assertHeld(store: ReplayStore | null, { to, by }: ReplayOptions): asserts store is ReplayStore {
  if (store?.oldestPull == null) throw new ConfigurationError([{ path: '--from', message: 'the buffer holds no events' }], { code: 'UsageError' })
  if (by === 'pull-time' && to <= store.oldestPull)
    throw new ConfigurationError([{ path: '--to', message: `the buffer holds only what was pulled since ${iso(store.oldestPull)}`, value: iso(to) }], { code: 'UsageError' })
}

interface Run extends Stops {
  readonly options: ReplayOptions
  readonly request: ReplayRequest
  readonly config: CollectorConfig
  readonly store: ReplayStore
  readonly log: Logger
}

async function run({ options, request, config, store, log, stop, abort }: Run): Promise<number> {
  const isDry = options.dryRun === true
  const names = request.outputs.map(({ name }) => name)
  const id = isDry ? null : (options.resume ?? randomBytes(4).toString('hex'))
  const saved = options.resume === undefined ? {} : await resumed(options.resume, request, store)
  const positions = new ReplayPositions({ store, id, request: request.text, outputs: names }, saved)
  const sent = new Map(names.map((name) => [name, new ServiceCounts()]))
  const conditions = new Conditions(() => systemClock.now())
  const outputs = await createOutputs({ ...config, outputs: request.outputs }, { clock: systemClock, log })
  let hide = (): void => undefined
  try {
    await positions.begin()
    if (id !== null) log.info({ replay: id }, `Replay ${id} ${options.resume === undefined ? 'begins' : 'goes on'}: ${request.text}. Should it be interrupted: ${resumeCommand(id, options)}`)
    hide = showProgress({ id, clock: systemClock, log, look: () => names.map((name) => progressOf(name, { store, positions, sent, conditions })) })
    await replayToAll(outputs, stop, (output, stopped) =>
      replayTo(output, { options, request, store, positions, delivered: sent.get(output.name) ?? new ServiceCounts(), conditions, log, stop: stopped, abort }),
    )
  } finally {
    hide()
    await Promise.allSettled(outputs.map(({ sink }) => sink.close()))
  }

  const isDone = names.every((name) => positions.isDone(name))
  // The lines of a console output are standard output's.
  const out = !isDry && request.outputs.some(({ type }) => type === 'console') ? process.stderr : process.stdout
  out.write(replayReport({ isDry, inputs: config.inputs, outputs: names.map((name) => ({ name, sent: sent.get(name) ?? new ServiceCounts(), refused: positions.refusedBy(name) })) }))
  if (isDone) await positions.forget().catch((error: unknown) => log.warn({ code: 'ReplayPlaceNotRemoved', err: error }, `Everything was sent, but the replay's place cannot be removed: ${describeError(error)}`))
  if (store.missed) tellTrouble('Some of the events that were still to be read are gone from the buffer: their retention has ended meanwhile.', { code: 'ReplayMissedEvents' })
  if (!isDone) tellTrouble(id === null ? 'Interrupted before all was counted.' : `Interrupted before all was sent; it goes on where it was with: ${resumeCommand(id, options)}`, { code: 'ReplayInterrupted' })
  return isDone && !store.missed ? EXIT.ok : EXIT.failure
}

/** Side by side; what ends one for good stops the others. Throws the first error. */
async function replayToAll(outputs: readonly Output[], stop: AbortSignal, send: (output: Output, stop: AbortSignal) => Promise<void>): Promise<void> {
  const failed = new AbortController()
  const results = await Promise.allSettled(
    outputs.map(async (output) => {
      try {
        await send(output, AbortSignal.any([stop, failed.signal]))
      } catch (error) {
        failed.abort(error)
        throw error
      }
    }),
  )
  for (const result of results) if (result.status === 'rejected') throw result.reason
}

interface Looked {
  readonly store: ReplayStore
  readonly positions: ReplayPositions
  readonly sent: ReadonlyMap<string, ServiceCounts>
  readonly conditions: Conditions
}

function progressOf(output: string, { store, positions, sent, conditions }: Looked): OutputProgress {
  return {
    output,
    fraction: store.fraction(positions.cursorOf(output)),
    sent: sent.get(output)?.total ?? 0,
    waitsFor: conditions.list().find(({ part }) => isBelow(part, output))?.reason ?? null,
  }
}

/** How far it had come. Throws ConfigurationError where there is no such replay, or one of something else. */
async function resumed(id: string, { text }: ReplayRequest, store: ReplayStore) {
  const saved = ID.test(id) ? await store.load(id) : null
  if (saved === null) throw new ConfigurationError([{ path: '--resume', message: 'no replay with this id was interrupted here; one that has come to its end leaves nothing', value: id }], { code: 'UsageError' })
  if (saved.request !== text) throw new ConfigurationError([{ path: '--resume', message: `this replay was begun with: ${saved.request}; give the same again`, value: text }], { code: 'UsageError' })
  return saved.cursors
}

interface ReplayToOptions extends Stops {
  readonly options: ReplayOptions
  readonly request: ReplayRequest
  readonly store: ReplayStore
  readonly positions: ReplayPositions
  readonly delivered: ServiceCounts
  readonly conditions: Conditions
  readonly log: Logger
}

async function replayTo(output: Output, { options, request, store, positions, delivered, conditions, log, stop, abort }: ReplayToOptions): Promise<void> {
  const isDry = options.dryRun === true
  const rate = isDry ? undefined : options.rate
  const { name, transforms, shipmentsInFlight, maxShipmentEvents, maxShipmentBytes } = output
  const sink = isDry ? NOWHERE : output.sink
  await deliver({
    output: name,
    sink: countingSink(sink, delivered),
    buffer: new ReplayBuffer({
      store,
      selection: request.selection,
      positions,
      pace: rate === undefined ? null : new Pace(rate, systemClock),
      maxBatchEvents: rate === undefined ? CHUNK_MAX_EVENTS : Math.max(1, Math.min(CHUNK_MAX_EVENTS, Math.floor(rate / BATCHES_PER_SECOND))),
    }),
    cursor: positions.cursorOf(name),
    transforms,
    shipmentsInFlight: Math.min(shipmentsInFlight, sink.maxShipmentsInFlight),
    maxShipmentEvents: rate === undefined ? maxShipmentEvents : Math.min(maxShipmentEvents, rate * SHIPMENT_S),
    maxShipmentBytes,
    clock: systemClock,
    log: isDry ? log.child({}, { level: 'error' }) : log,
    conditions,
    counters: new Counters(),
    stop,
    abort,
    drain: AbortSignal.abort(),
    isDry,
  })
}

/** Takes all that a rehearsal would send. */
const NOWHERE: Sink = {
  maxShipmentsInFlight: 1,
  ship: () =>
    new Writable({
      objectMode: true,
      highWaterMark: 1,
      write(batch: Batch, _encoding, callback) {
        releaseBytes(batch)
        callback()
      },
    }),
  check: async () => undefined,
  close: async () => undefined,
}
