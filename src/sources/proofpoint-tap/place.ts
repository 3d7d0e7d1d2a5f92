import type { PassTerms } from './steps.ts'
import type { Round } from './round.ts'
import type { OpenWindow, Requester, WindowRequest } from './window-request.ts'

/** How the next pass is made. */
export interface PassPlan {
  readonly terms: Partial<PassTerms>
  /** Several services make it together. */
  readonly isShared: boolean
}

/** What a company must know of a service; everything as it is now. */
export interface Traveller {
  readonly name: string
  readonly mark: number
  /** Whether all behind its mark can be read in one go. */
  readonly canShare: boolean
  /** Whether its last pass brought it up to date. */
  readonly isLive: boolean
  wantsFull(): boolean
  startOf(isFull: boolean): number
}

/** One service in a company. */
export class Place {
  readonly traveller: Traveller
  readonly #signal: AbortSignal
  readonly #clock: Requester['clock']
  readonly #events: { readonly gathers: () => void; readonly leaves: (isDone: boolean) => void }
  #state: 'gathering' | 'reading' | 'resting' | 'called' = 'reading'
  #gatheringSince = 0
  #round: Round | null = null
  #begun = Promise.withResolvers<PassPlan>()
  #wake = (): void => undefined

  constructor(traveller: Traveller, signal: AbortSignal, clock: Requester['clock'], events: { readonly gathers: () => void; readonly leaves: (isDone: boolean) => void }) {
    this.traveller = traveller
    this.#signal = signal
    this.#clock = clock
    this.#events = events
  }

  get state(): 'gathering' | 'reading' | 'resting' | 'called' {
    return this.#state
  }

  /** By the monotonic clock. */
  get gatheringSince(): number {
    return this.#gatheringSince
  }

  /** Waits for those who come along; gives how the pass is made. Rejects with the signal's reason. */
  async gather(): Promise<PassPlan> {
    this.#signal.throwIfAborted()
    this.#begun = Promise.withResolvers<PassPlan>()
    const abort = (): void => this.#begun.reject(this.#signal.reason)
    this.#signal.addEventListener('abort', abort, { once: true })
    this.#state = 'gathering'
    this.#gatheringSince = this.#clock.monotonic()
    this.#events.gathers()
    try {
      return await this.#begun.promise
    } finally {
      this.#signal.removeEventListener('abort', abort)
    }
  }

  /** The pass can begin. */
  begin(round: Round, plan: PassPlan): void {
    this.#state = 'reading'
    this.#round = round
    this.#begun.resolve(plan)
  }

  /** Rejects as `TapClient.ask`. */
  open(request: WindowRequest): Promise<OpenWindow> {
    return this.#round?.open(request) ?? Promise.reject(new Error('a window was asked for outside a pass'))
  }

  /** The pass is over: waits for `ms`, or until another one calls. Rejects with the signal's reason. */
  async rest(ms: number): Promise<void> {
    this.#leaveRound()
    this.#state = 'resting'
    const called = new AbortController()
    this.#wake = () => called.abort()
    try {
      await this.#clock.sleep(ms, AbortSignal.any([this.#signal, called.signal]))
    } catch (error) {
      this.#signal.throwIfAborted()
      if (!called.signal.aborted) throw error
    } finally {
      this.#wake = () => undefined
    }
  }

  /** Come along, if you only rest. */
  call(): void {
    if (this.#state !== 'resting') return
    this.#state = 'called'
    this.#wake()
  }

  /** `isDone`: all that was to be read has been. */
  leave(isDone: boolean): void {
    this.#leaveRound()
    this.#events.leaves(isDone)
  }

  #leaveRound(): void {
    this.#round?.leave(this.traveller.name)
    this.#round = null
  }
}
