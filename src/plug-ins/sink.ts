import { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Logger } from 'pino'
import type { Clock } from '../pipeline/clock.ts'
import { describeError, RetryableError } from '../pipeline/errors.ts'
import type { Batch } from '../pipeline/event.ts'
import type { ShipmentContext, Sink } from '../pipeline/sink.ts'
import type { PlugInConfig } from './config.ts'
import { inTime, unlessAborted } from './in-time.ts'
import { loadFactory, make, refused } from './load.ts'
import { toolsFor, type SinkTools } from './tools.ts'

const CHECK_MS = 60_000
const CLOSE_MS = 5_000
/** How long a shipment may neither take the next batch nor end. */
const STALL_MS = 10 * 60_000

/** A sink of the user's own behind a guard that holds it to the contract. Throws ConfigurationError where it cannot be made. */
export async function createPlugInSink(plugIn: PlugInConfig, context: Omit<SinkTools, 'eventsOf' | 'toLines'>): Promise<Sink> {
  const { clock } = context
  const made = await make(plugIn, await loadFactory(plugIn, 'createSink', clock), toolsFor(context), clock)
  if (!isSink(made))
    throw refused(plugIn, 'gives no sink: createSink must return {maxShipmentsInFlight, ship, check, close}, a number from 1 on and three functions')
  return new GuardedSink(made, plugIn.specifier, clock, context.log.child({ output: context.name, plugIn: plugIn.specifier }))
}

function isSink(made: unknown): made is Sink {
  if (typeof made !== 'object' || made === null) return false
  const inFlight: unknown = Reflect.get(made, 'maxShipmentsInFlight')
  const isNumber = typeof inFlight === 'number' && Number.isInteger(inFlight) && inFlight >= 1
  return isNumber && ['ship', 'check', 'close'].every((name) => typeof Reflect.get(made, name) === 'function')
}

/**
 * Whatever a plug-in does to its own shipment, the shipment ends: delivered only when the plug-in has taken all events and said so, failed when it
 * throws, is given up, or stands still. Failed ones come again, and the other outputs go on.
 */
class GuardedSink implements Sink {
  readonly maxShipmentsInFlight: number
  readonly #sink: Sink
  readonly #name: string
  readonly #clock: Clock
  readonly #log: Logger
  readonly #closing = new AbortController()
  #closed: Promise<void> | null = null

  constructor(sink: Sink, specifier: string, clock: Clock, log: Logger) {
    this.maxShipmentsInFlight = sink.maxShipmentsInFlight
    this.#sink = sink
    this.#name = `plug-in ${specifier}`
    this.#clock = clock
    this.#log = log
  }

  ship({ signal, reject }: ShipmentContext): (batches: AsyncIterable<Batch>) => Promise<void> {
    return async (batches) => {
      const watch = new Watch(this.#clock, this.#name)
      const given = AbortSignal.any([signal, this.#closing.signal, watch.signal])
      try {
        await unlessAborted(this.#deliver(watch.over(batches), { signal: given, reject }), given)
        if (!watch.isReadToEnd) throw new Error('it said that all is delivered before it had taken all events')
      } catch (error) {
        given.throwIfAborted()
        throw this.#named(error)
      } finally {
        watch.end()
      }
    }
  }

  async check(signal: AbortSignal): Promise<void> {
    try {
      await unlessAborted(inTime(call(() => this.#sink.check(signal)), CHECK_MS, this.#clock, 'its check did not end within 60 s'), signal)
    } catch (error) {
      signal.throwIfAborted()
      throw this.#named(error)
    }
  }

  async close(): Promise<void> {
    this.#closed ??= this.#close()
    await this.#closed
  }

  async #deliver(batches: AsyncIterable<Batch>, context: ShipmentContext): Promise<void> {
    // Its types are only what it promises.
    const delivery: unknown = this.#sink.ship(context)
    if (typeof delivery === 'function') {
      await (delivery as (batches: AsyncIterable<Batch>) => unknown)(batches)
      return
    }
    if (!(delivery instanceof Writable)) throw new Error('its ship gave neither a Writable nor a function')
    // It also takes what the stream says after its end, such as a second call back, which would else end the process.
    await pipeline(batches, delivery, { signal: context.signal })
  }

  async #close(): Promise<void> {
    this.#closing.abort(new Error('the output was closed'))
    try {
      await inTime(call(() => this.#sink.close()), CLOSE_MS, this.#clock, 'it did not end within 5 s')
    } catch (error) {
      this.#log.warn({ code: 'PlugInNotClosed', err: error }, `${this.#name} could not be closed, leaving it behind: ${describeError(error)}`)
    }
  }

  #named(error: unknown): RetryableError {
    return new RetryableError(`${this.#name}: ${describeError(error)}`, { code: 'PlugInFailed', cause: error })
  }
}

/** What it throws at once is as good as what it throws later. */
async function call(work: () => unknown): Promise<unknown> {
  return await work()
}

/** Gives a shipment up that stands still, from the moment it is handed a batch until it asks for the next one or ends. */
class Watch {
  readonly #stalled = new AbortController()
  readonly #clock: Clock
  readonly #name: string
  isReadToEnd = false
  #cancel = (): void => undefined

  constructor(clock: Clock, name: string) {
    this.#clock = clock
    this.#name = name
    this.#begin()
  }

  get signal(): AbortSignal {
    return this.#stalled.signal
  }

  async *over(batches: AsyncIterable<Batch>): AsyncGenerator<Batch, void, undefined> {
    this.#cancel()
    for await (const batch of batches) {
      this.#begin()
      yield batch
      this.#cancel()
    }
    this.isReadToEnd = true
    this.#begin()
  }

  end(): void {
    this.#cancel()
    this.#begin = () => undefined
  }

  #begin = (): void => {
    this.#cancel = this.#clock.after(STALL_MS, () =>
      this.#stalled.abort(new RetryableError(`${this.#name} has neither taken the next events nor ended its shipment for 10 minutes`, { code: 'PlugInStalled' })),
    )
  }
}
