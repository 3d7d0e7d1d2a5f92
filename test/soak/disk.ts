import { BufferFullError } from '../../src/pipeline/buffer.ts'
import { RetryableError } from '../../src/pipeline/errors.ts'
import { Random } from '../../src/simulator/tap-random.ts'

export type DiskFault = 'write' | 'sync' | 'read' | 'full'

/** What the disk does to the operations of the buffer: fail before anything is durable, or after it is, so that the outcome is unknown. */
export class Disk {
  readonly #seed: number
  readonly #faults: { readonly how: DiskFault; readonly probability: number; readonly random: Random }[] = []

  constructor(seed: number) {
    this.#seed = seed
  }

  fail(how: DiskFault, probability: number, id: number): () => void {
    const entry = { how, probability, random: new Random(this.#seed, 'disk', id) }
    this.#faults.push(entry)
    return () => void this.#faults.splice(this.#faults.indexOf(entry), 1)
  }

  /** Throws where a writing operation fails before it has done anything. */
  beforeWrite(): void {
    if (this.#meets('full')) throw new BufferFullError('the model of the disk is full')
    if (this.#meets('write')) throw new RetryableError('the model of the disk: writing failed')
  }

  /** Throws where it is durable and nobody knows. */
  afterWrite(): void {
    if (this.#meets('sync')) throw new RetryableError('the model of the disk: fsync failed')
  }

  beforeRead(): void {
    if (this.#meets('read')) throw new RetryableError('the model of the disk: reading failed')
  }

  #meets(how: DiskFault): boolean {
    return this.#faults.filter((fault) => fault.how === how && fault.random.chance(fault.probability)).length > 0
  }
}
