import { Readable } from 'node:stream'
import { TAP_ENDPOINTS, type TapPool } from '../../src/simulator/tap-api.ts'
import type { TapModel } from '../../src/simulator/tap-model.ts'
import { Random } from '../../src/simulator/tap-random.ts'
import type { HttpRequest } from '../../src/sources/proofpoint-tap/http.ts'
import { failure, requestOverModel } from '../support/tap-over-model.ts'
import type { Life } from './life.ts'

export type Away = 'refused' | 'no answer' | 'no name'

export interface SentRequest {
  readonly pool: TapPool
  /** Epoch milliseconds. */
  readonly time: number
}

const CONNECT_TIMEOUT_MS = 10_000
/** Small, so that an event often lies in two pieces. */
const PIECE_BYTES = 3_000

/** The way to the model of the API: with latency, in pieces, and away now and then. */
export class ModelApi {
  readonly model: TapModel
  /** Every request that has reached it, by true time: its own clock may jump. */
  readonly sent: SentRequest[] = []
  readonly #seed: number
  readonly #trueTime: () => number
  readonly #away: Away[] = []
  #requests = 0

  constructor(model: TapModel, seed: number, trueTime: () => number) {
    this.model = model
    this.#trueTime = trueTime
    this.#seed = seed
  }

  /** Returns a function that takes it back. */
  goAway(how: Away): () => void {
    this.#away.push(how)
    return () => void this.#away.splice(this.#away.indexOf(how), 1)
  }

  requestFor(life: Life): HttpRequest {
    const request = requestOverModel(this.model, life.clock)
    return async (asked) => {
      this.#requests += 1
      const random = new Random(this.#seed, 'request', this.#requests)
      await life.step(`GET ${asked.url.pathname} ${asked.url.searchParams.get('interval') ?? ''}`)
      await life.clock.sleep(5 + random.below(random.chance(0.05) ? 20_000 : 400), asked.signal)
      const away = this.#away.at(-1)
      if (away === 'no answer') await life.clock.sleep(CONNECT_TIMEOUT_MS, asked.signal)
      if (away !== undefined) throw failure(away === 'refused' ? 'ECONNREFUSED' : away === 'no name' ? 'ENOTFOUND' : 'UND_ERR_CONNECT_TIMEOUT')
      const pool = TAP_ENDPOINTS[asked.url.pathname]?.pool
      if (pool !== undefined) this.sent.push({ pool, time: this.#trueTime() })
      const response = await life.answer(request(asked))
      await life.step(`answer ${response.status}`)
      return { ...response, body: Readable.from(inPieces(response.body, life), { objectMode: false, highWaterMark: 1 }) }
    }
  }
}

async function* inPieces(body: AsyncIterable<Buffer>, life: Life): AsyncGenerator<Buffer, void, undefined> {
  for await (const bytes of body) {
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
      await life.step('piece')
      // Whoever reads it may give the memory away.
      yield Buffer.from(bytes.subarray(at, at + PIECE_BYTES))
    }
  }
}
