import { BufferFullError } from '../../pipeline/buffer.ts'
import type { CodeName } from '../../pipeline/codes.ts'
import { FatalError, RetryableError } from '../../pipeline/errors.ts'
import { readerOf, type DeadLetter, type Unit } from '../../pipeline/unit.ts'
import type { EmbeddedStore } from './store.ts'

/** What may be asked of the store, here or in its thread. */
export type StoreMethod = Exclude<keyof EmbeddedStore, 'close'>
export type StoreArguments<Method extends StoreMethod> = Parameters<EmbeddedStore[Method]>
export type StoreResult<Method extends StoreMethod> = ReturnType<EmbeddedStore[Method]>

/** Main thread to worker. The worker answers every request, in order. */
export interface Request {
  readonly id: number
  readonly method: StoreMethod | 'open' | 'close'
  readonly args: readonly unknown[]
}

export type Response = { readonly id: number; readonly value: unknown } | { readonly id: number; readonly failure: Failure }

/** Calls a method with the arguments that a typed `call` took: TypeScript cannot follow the pair of them through the union. */
export function invoke(store: EmbeddedStore, method: StoreMethod, args: readonly unknown[]): unknown {
  return (store as unknown as Record<StoreMethod, (...args: readonly unknown[]) => unknown>)[method](...args)
}

/** An error on its way between threads: structured clone would keep neither class nor `code`. */
export interface Failure {
  readonly kind: 'full' | 'retryable' | 'fatal' | 'bug'
  readonly message: string
  readonly stack: string | undefined
  readonly code: CodeName | undefined
  readonly cause: Failure | null
}

export function packFailure(error: unknown): Failure {
  const { message, stack, cause } = error instanceof Error ? error : new Error(String(error))
  const kind = error instanceof BufferFullError ? 'full' : error instanceof RetryableError ? 'retryable' : error instanceof FatalError ? 'fatal' : 'bug'
  const code = error instanceof RetryableError || error instanceof FatalError ? error.codeName : undefined
  return { kind, message, stack, code, cause: cause === undefined ? null : packFailure(cause) }
}

export function unpackFailure({ kind, message, stack, code, cause }: Failure): Error {
  const options = { ...(code !== undefined && { code }), ...(cause !== null && { cause: unpackFailure(cause) }) }
  const types = { full: BufferFullError, retryable: RetryableError, fatal: FatalError, bug: Error }
  const error = new types[kind](message, options)
  if (stack !== undefined) error.stack = stack
  return error
}

/** The unit with every byte in an ArrayBuffer of its own, so that all of them can be transferred or dropped. Views of larger buffers are copied. */
export function packUnit(unit: Unit): { readonly unit: Unit; readonly buffers: ReadonlySet<ArrayBuffer> } {
  const buffers = new Set<ArrayBuffer>()
  const own = (bytes: Uint8Array): Uint8Array => {
    const whole = ownsItsBuffer(bytes) ? bytes : new Uint8Array(bytes)
    // Not a SharedArrayBuffer: either checked by ownsItsBuffer, or just made.
    buffers.add(whole.buffer as ArrayBuffer)
    return whole
  }
  const { seen } = unit.position
  return {
    unit: {
      inputId: unit.inputId,
      service: unit.service,
      reader: readerOf(unit),
      pulledAt: unit.pulledAt,
      environment: unit.environment,
      window: unit.window,
      ...(unit.readTo !== undefined && { readTo: unit.readTo }),
      chunks: unit.chunks.map((chunk) => ({ lines: own(chunk.lines), fingerprints: own(chunk.fingerprints) })),
      deadLetters: unit.deadLetters.map((letter) => ({ ...letter, event: own(letter.event), fingerprint: own(letter.fingerprint) })),
      position: { ...unit.position, seen: seen === null ? null : { ...seen, fingerprints: own(seen.fingerprints) } },
    },
    buffers,
  }
}

/** Copies, for the caller keeps its own: cloning a small view between threads would take the whole batch behind it along. */
export function copyDeadLetters(letters: readonly DeadLetter[]): DeadLetter[] {
  return letters.map((letter) => ({ ...letter, event: new Uint8Array(letter.event), fingerprint: new Uint8Array(letter.fingerprint) }))
}

/** Every buffer in a result that can change the thread instead of being copied. */
export function transferablesIn(value: unknown, found = new Set<ArrayBuffer>()): Set<ArrayBuffer> {
  if (value instanceof Uint8Array) {
    // Not a SharedArrayBuffer: ownsItsBuffer has looked.
    if (ownsItsBuffer(value)) found.add(value.buffer as ArrayBuffer)
  } else if (Array.isArray(value)) {
    for (const item of value) transferablesIn(item, found)
  } else if (typeof value === 'object' && value !== null) {
    for (const item of Object.values(value)) transferablesIn(item, found)
  }
  return found
}

/** Frees the bytes now instead of at some later garbage collection: 163 to 131 MB at the peak. */
export function dropBuffers(buffers: Iterable<ArrayBuffer>): void {
  for (const buffer of buffers) buffer.transfer(0)
}

function ownsItsBuffer(bytes: Uint8Array): boolean {
  return bytes.buffer instanceof ArrayBuffer && bytes.byteLength === bytes.buffer.byteLength
}
