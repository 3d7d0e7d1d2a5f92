import type { BatchStream, BufferSnapshot, Cursor, EventBuffer, InputOwnership, OutputShare, OutputStart, ReadRange } from '../../src/pipeline/buffer.ts'
import type { DeadLetter, ServiceState, Unit } from '../../src/pipeline/unit.ts'
import type { Disk } from './disk.ts'
import type { Life } from './life.ts'

/** What was made durable, whether or not the collector has heard of it. */
export interface BufferWitness {
  appending(unit: Unit): () => void
  committed(output: string, cursor: Cursor): void
}

/** The buffer as a process sees it that may die at each of its operations, on a disk that may fail at each. */
export class StepBuffer implements EventBuffer {
  readonly #buffer: EventBuffer
  readonly #life: Life
  readonly #disk: Disk
  readonly #witness: BufferWitness

  constructor(buffer: EventBuffer, life: Life, disk: Disk, witness: BufferWitness) {
    this.#buffer = buffer
    this.#life = life
    this.#disk = disk
    this.#witness = witness
  }

  loadService(inputId: string, service: string): Promise<ServiceState | null> {
    return this.#read(`load ${service}`, () => this.#buffer.loadService(inputId, service))
  }

  startService(...args: Parameters<EventBuffer['startService']>): Promise<void> {
    return this.#write(`start ${args[1]}`, () => this.#buffer.startService(...args))
  }

  async assertRoom(ofFeed?: boolean): Promise<void> {
    await this.#life.step('room')
    this.#disk.beforeWrite()
    await this.#life.answer(this.#buffer.assertRoom(ofFeed))
  }

  append(unit: Unit): Promise<void> {
    return this.#write(`append ${unit.service} ${unit.chunks.length}`, async () => {
      // The unit's bytes are gone afterwards.
      const isDurable = this.#witness.appending(unit)
      await this.#buffer.append(unit)
      isDurable()
    })
  }

  async ownInputs(signal: AbortSignal): Promise<InputOwnership> {
    await this.#life.step('own')
    return this.#life.answer(this.#buffer.ownInputs(signal))
  }

  openOutputs(outputs: readonly OutputStart[]): Promise<void> {
    return this.#write('open outputs', () => this.#buffer.openOutputs(outputs))
  }

  async takeShare(output: string, signal: AbortSignal): Promise<OutputShare> {
    await this.#life.step('share')
    return this.#life.answer(this.#buffer.takeShare(output, signal))
  }

  read(output: string, range: ReadRange): BatchStream {
    const stream = this.#buffer.read(output, range)
    try {
      this.#disk.beforeRead()
    } catch (error) {
      process.nextTick(() => stream.destroy(error instanceof Error ? error : new Error(String(error))))
    }
    return stream
  }

  async waitBeyond(output: string, cursor: Cursor, signal: AbortSignal): Promise<void> {
    await this.#life.step('wait')
    await this.#life.answer(this.#buffer.waitBeyond(output, cursor, signal))
  }

  commit(output: string, cursor: Cursor, deadLetters: readonly DeadLetter[]): Promise<void> {
    return this.#write(`commit ${cursor}`, async () => {
      await this.#buffer.commit(output, cursor, deadLetters)
      this.#witness.committed(output, cursor)
    })
  }

  load(pool: string): ReturnType<EventBuffer['load']> {
    return this.#read('load requests', () => this.#buffer.load(pool))
  }

  count(...args: Parameters<EventBuffer['count']>): ReturnType<EventBuffer['count']> {
    return this.#write('count', () => this.#buffer.count(...args))
  }

  snapshot(): Promise<BufferSnapshot> {
    return this.#read('snapshot', () => this.#buffer.snapshot())
  }

  async close(): Promise<void> {
    await this.#life.step('close')
    await this.#life.answer(this.#buffer.close())
  }

  async #read<T>(what: string, work: () => Promise<T>): Promise<T> {
    await this.#life.step(what)
    this.#disk.beforeRead()
    return this.#life.answer(work())
  }

  async #write<T>(what: string, work: () => Promise<T>): Promise<T> {
    await this.#life.step(what)
    this.#disk.beforeWrite()
    const value = await this.#life.answer(work())
    await this.#life.step(`${what}: done`)
    this.#disk.afterWrite()
    return value
  }
}
