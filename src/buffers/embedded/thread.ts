import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { dropBuffers, invoke, packUnit, unpackFailure } from './protocol.ts'
import type { Request, Response, StoreArguments, StoreMethod, StoreResult } from './protocol.ts'
import { EmbeddedStore } from './store.ts'
import type { StoreOptions } from './store.ts'

/** The store behind promises, wherever it runs. Calls are answered in the order in which they were made. */
export interface StoreClient {
  call<Method extends StoreMethod>(method: Method, ...args: StoreArguments<Method>): Promise<StoreResult<Method>>
  close(): Promise<void>
  /** Resolves where the store can no longer be called, also after `close`. */
  readonly broken: Promise<Error>
}

/** Without a thread: each call blocks until it is done. */
export class LocalStore implements StoreClient {
  /** Never: what fails in the calling thread is told by the call. */
  readonly broken = new Promise<Error>(() => undefined)
  readonly #store: EmbeddedStore

  constructor(options: StoreOptions) {
    this.#store = new EmbeddedStore(options)
  }

  async call<Method extends StoreMethod>(method: Method, ...args: StoreArguments<Method>): Promise<StoreResult<Method>> {
    const [first] = args
    const packed = method === 'append' ? packUnit(first as Parameters<EmbeddedStore['append']>[0]) : null
    try {
      return invoke(this.#store, method, packed === null ? args : [packed.unit]) as StoreResult<Method>
    } finally {
      if (packed !== null) dropBuffers(packed.buffers)
    }
  }

  async close(): Promise<void> {
    this.#store.close()
  }
}

interface Pending {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
}

/** In a thread of its own: a commit takes 30 to 60 ms, more on a slow disk, and would block sockets, timers and signals. */
export class ThreadedStore implements StoreClient {
  readonly broken: Promise<Error>
  readonly #broken = Promise.withResolvers<Error>()
  readonly #worker: Worker
  readonly #pending = new Map<number, Pending>()
  #lastId = 0
  #failure: Error | null = null

  constructor() {
    this.broken = this.#broken.promise
    // Beside the sources while run from them, beside the compiled files otherwise.
    const file = new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url)
    // What it makes is handed over at once: a small space for young objects keeps the dead ones few (as in cli.ts).
    this.#worker = new Worker(file, { resourceLimits: { maxYoungGenerationSizeMb: 2 } })
    this.#worker.on('message', (response: Response) => this.#settle(response))
    this.#worker.on('error', (error) => this.#fail(new Error('the thread of the embedded buffer failed', { cause: error })))
    this.#worker.on('exit', () => this.#fail(new Error('the embedded buffer is closed')))
  }

  /** First call; throws as the constructor of EmbeddedStore. */
  async open(options: StoreOptions): Promise<void> {
    try {
      await this.#request('open', [options], [])
    } catch (error) {
      await this.#exited()
      throw error
    }
  }

  call<Method extends StoreMethod>(method: Method, ...args: StoreArguments<Method>): Promise<StoreResult<Method>> {
    const [first] = args
    const packed = method === 'append' ? packUnit(first as Parameters<EmbeddedStore['append']>[0]) : null
    const answer = packed === null ? this.#request(method, args, []) : this.#request(method, [packed.unit], [...packed.buffers])
    return answer as Promise<StoreResult<Method>>
  }

  async close(): Promise<void> {
    if (this.#failure !== null) return
    await this.#request('close', [], [])
    await this.#exited()
  }

  #request(method: Request['method'], args: readonly unknown[], transfer: readonly ArrayBuffer[]): Promise<unknown> {
    if (this.#failure !== null) return Promise.reject(this.#failure)
    this.#lastId += 1
    const id = this.#lastId
    return new Promise((resolve, reject) => {
      this.#worker.postMessage({ id, method, args } satisfies Request, transfer)
      this.#pending.set(id, { resolve, reject })
    })
  }

  #settle(response: Response): void {
    const pending = this.#pending.get(response.id)
    this.#pending.delete(response.id)
    if ('failure' in response) pending?.reject(unpackFailure(response.failure))
    else pending?.resolve(response.value)
  }

  #fail(error: Error): void {
    this.#failure ??= error
    this.#broken.resolve(this.#failure)
    for (const { reject } of this.#pending.values()) reject(this.#failure)
    this.#pending.clear()
  }

  async #exited(): Promise<void> {
    if (this.#failure === null) await once(this.#worker, 'exit')
  }
}
