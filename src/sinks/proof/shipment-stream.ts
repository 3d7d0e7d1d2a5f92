import { Writable } from 'node:stream'
import type { Batch } from '../../pipeline/event.ts'
import type { Proof } from './proof.ts'

/** Bytes that may wait for the peer before the pipeline is held back: the next batch is made while the last one is on its way. */
const ROOM_BYTES = 512 * 1024

export interface ShipmentSteps {
  open(signal: AbortSignal): Promise<Proof>
  encode(batch: Batch): Uint8Array
  /** Resolves when what the concluded proof carried is delivered. */
  delivered(proof: Proof): Promise<void>
}

/**
 * The writing end of one shipment. Its 'finish' (and so the end of its pipeline) means delivered. The connection is opened by the first
 * event; a shipment without any makes none. An abort of the signal destroys it.
 */
export class ShipmentStream extends Writable {
  readonly #steps: ShipmentSteps
  readonly #outer: AbortSignal
  readonly #opening = new AbortController()
  readonly #abort = (): void => void this.destroy(asError(this.#outer.reason))
  #proof: Proof | null = null
  /** The callback of a write that waits for room. */
  #waiting: (() => void) | null = null

  constructor(steps: ShipmentSteps, signal: AbortSignal) {
    super({ objectMode: true, highWaterMark: 1 })
    this.#steps = steps
    this.#outer = signal
    // Whoever gave it up before it was part of a pipeline has no handler yet.
    this.on('error', () => undefined)
    signal.addEventListener('abort', this.#abort)
    if (signal.aborted) this.#abort()
  }

  override _write(batch: Batch, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (batch.lines.length === 0) {
      done()
    } else if (this.#proof !== null) {
      this.#send(this.#proof, batch, done)
    } else {
      this.#steps.open(this.#opening.signal).then((proof) => {
        this.#proof = proof
        proof.result.catch((error: unknown) => this.destroy(asError(error)))
        if (this.destroyed) proof.abandon(asError(this.#opening.signal.reason))
        else this.#send(proof, batch, done)
      }, (error: unknown) => done(asError(error)))
    }
  }

  /** Never async: a Writable hangs for ever on an `async _final` that throws. */
  override _final(done: (error?: Error | null) => void): void {
    if (this.#proof === null) {
      done()
      return
    }
    this.#proof.conclude()
    this.#steps.delivered(this.#proof).then(() => done(), (error: unknown) => done(asError(error)))
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#outer.removeEventListener('abort', this.#abort)
    const reason = error ?? new Error('the shipment was given up')
    this.#opening.abort(reason)
    this.#proof?.abandon(reason)
    done(error)
  }

  #send(proof: Proof, batch: Batch, done: (error?: Error | null) => void): void {
    let bytes: Uint8Array
    try {
      bytes = this.#steps.encode(batch)
    } catch (error) {
      done(asError(error))
      return
    }
    proof.write(bytes, () => {
      if (proof.unflushedBytes > ROOM_BYTES) return
      const waiting = this.#waiting
      this.#waiting = null
      waiting?.()
    })
    if (proof.unflushedBytes > ROOM_BYTES) this.#waiting = done
    else done()
  }
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason))
}
