import { FORGET_AFTER_MS } from './passes.ts'
import { requestWindow, type OpenWindow, type Requester, type WindowRequest } from './window-request.ts'

/**
 * One pass that several services make together, or one alone. A request goes out when all who take part have come to the same step; so it also
 * waits for whoever waits longest after a failure. Whoever comes to another step leaves the round and goes on alone, without delay for the others.
 */
export class Round {
  readonly #requester: Requester
  readonly #members: Set<string>
  readonly #waiting = new Map<string, { readonly request: WindowRequest; readonly opened: PromiseWithResolvers<OpenWindow>; readonly detach: () => void }>()

  /** `members`: names of services. */
  constructor(members: Iterable<string>, requester: Requester) {
    this.#members = new Set(members)
    this.#requester = requester
  }

  /** Rejects as `TapClient.ask`. Holes are asked for alone: each service has its own. */
  open(request: WindowRequest): Promise<OpenWindow> {
    const { name } = request.service
    if (!this.#members.has(name) || request.step.kind === 'hole') return this.#alone(request)
    const opened = Promise.withResolvers<OpenWindow>()
    const abort = (): void => {
      this.#waiting.delete(name)
      opened.reject(request.signal.reason)
    }
    request.signal.addEventListener('abort', abort, { once: true })
    this.#waiting.set(name, { request, opened, detach: () => request.signal.removeEventListener('abort', abort) })
    this.#settle()
    return opened.promise
  }

  /** The service takes part no longer; its requests from here on are its own. */
  leave(name: string): void {
    if (this.#members.delete(name)) this.#settle()
  }

  #alone(request: WindowRequest): Promise<OpenWindow> {
    const [opened] = requestWindow([request], this.#requester, () => undefined)
    return opened ?? Promise.reject(new Error('no request was made'))
  }

  #settle(): void {
    if (this.#waiting.size === 0 || this.#waiting.size < this.#members.size) return
    const all = [...this.#waiting.values()].sort((a, b) => a.request.step.window.from - b.request.step.window.from)
    this.#waiting.clear()
    for (const { detach } of all) detach()
    const [first] = all
    if (first === undefined) return
    const { kind, window } = first.request.step
    const isTogether = ({ step }: WindowRequest): boolean => step.kind === kind && step.window.from - window.from <= FORGET_AFTER_MS
    for (const { request, opened } of all.filter(({ request }) => !isTogether(request))) {
      this.#members.delete(request.service.name)
      opened.resolve(this.#alone(request))
    }
    const together = all.filter(({ request }) => isTogether(request))
    const windows = requestWindow(together.map(({ request }) => request), this.#requester, ({ service }) => this.leave(service.name))
    together.forEach(({ opened }, index) => opened.resolve(windows[index] ?? Promise.reject(new Error('no request was made'))))
  }
}
