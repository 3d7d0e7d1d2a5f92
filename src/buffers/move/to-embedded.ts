import { randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import { PositionOutOfRangeError, type FetchedPartition, type PartitionReader } from '../../kafka/partition-reader.ts'
import { counted } from '../../pipeline/counted.ts'
import { describeError, FatalError, RetryableError } from '../../pipeline/errors.ts'
import type { DeadLetter, Unit } from '../../pipeline/unit.ts'
import { batchesOf } from '../kafka/batches.ts'
import { decodeDeadLetter } from '../kafka/dead-letter.ts'
import { LETTER_PARTITION } from '../kafka/dead-letter-log.ts'
import { removedOf } from '../kafka/remade-letters.ts'
import { undecodableLetter } from '../kafka/undecodable.ts'
import { EmbeddedTarget, type StageEnd } from './embedded-target.ts'
import { KafkaSource, type DepartingOutput, type KafkaSourceOptions } from './kafka-source.ts'
import { readPointer, removePointer, writePointer, pointerPath } from './pointer.ts'
import { planStages, type Stage } from './regions.ts'

export interface MoveBackOptions extends KafkaSourceOptions {
  /** The state folder of the embedded buffer, which must not have one yet. */
  readonly dir: string
  readonly maxSizeBytes: number
}

/** What was moved. */
export interface Moved {
  readonly events: number
  readonly services: number
  readonly outputs: number
  readonly deadLetters: number
}

const PAGE_BYTES = 4 * 1024 * 1024
const LOOK_MS = 500
/** An open transaction hides what lies behind it, for its time-out at most. */
const STUCK_AFTER_MS = 60_000
const TELL_EVERY_MS = 10_000
const UNLIMITED = { events: Infinity, bytes: Infinity }

/**
 * Carries the content of the Kafka buffer over to an embedded one: undelivered events, how far each output is, marks, fingerprints, holes, gaps, dead
 * letters and the quota log, each once. Null where that was done already, and only its last step was left. Kafka's topics are only read, but
 * that they say from then on where their content has gone. Throws FatalError or RetryableError; then nothing has changed, or, where even that
 * cannot be written, the same command goes on.
 *
 *   pointer in the folder ──▶ seal at Kafka ──▶ buffer.db.moving filled, from the beginning ──▶ buffer.db ──▶ pointer removed
 *
 * A kill at any moment does no harm: no collector begins with a seal there, nor with a pointer and no buffer here. The move's id, which stands in
 * the pointer, the seal and the file, tells a move that is to be finished from one to another place, and a file of its own from any other.
 */
export async function moveToEmbedded(options: MoveBackOptions): Promise<Moved | null> {
  const { dir, clock, connection, prefix, log, maxSizeBytes } = options
  const target = new EmbeddedTarget(dir, maxSizeBytes, clock.now())
  try {
    const source = await KafkaSource.open(options)
    try {
      const id = beginMove(source, target, options)
      if (id === null) return null
      writePointer(dir, { topicPrefix: prefix, brokers: connection.brokers, movedFrom: readPointer(dir)?.movedFrom ?? null, moveId: id })
      let moved: Moved
      try {
        target.begin()
        await source.seal({ id, to: target.place, at: clock.now() })
        moved = await new MoveBack(source, target, options).run()
        target.complete(id)
      } catch (error) {
        await source.unseal().catch((failure: unknown) => {
          log.error({ code: 'MoveHalfUndone', err: failure }, `Kafka still says that all was moved away, and no collector starts there before this command has come to its end: ${describeError(failure)}`)
        })
        throw error
      }
      target.putInPlace()
      removePointer(dir)
      return moved
    } finally {
      await source.close()
    }
  } finally {
    target.close()
  }
}

/** The id of the move: a new one, or that of one that was killed; null where all is done but the last step. */
function beginMove(source: KafkaSource, target: EmbeddedTarget, { dir, prefix }: MoveBackOptions): string | null {
  const { departure } = source
  const pointer = readPointer(dir)
  if (pointer !== null && pointer.topicPrefix !== prefix)
    throw new FatalError(
      `the marks and events of the state folder ${dir} are in Kafka under the topic_prefix ${pointer.topicPrefix}, and not ${prefix}: name the configuration ` +
        `with that one in --from, or remove ${pointerPath(dir)} where they are not wanted`,
      { code: 'MoveSourceWrong' },
    )
  const moveId = target.moveId()
  if (moveId !== undefined) {
    if (moveId !== departure?.id)
      throw new FatalError(`${target.path} is there already, and holds something else. Deliver what is in it and rename it, or name another folder (globals.persistence.config.directory_name)`, { code: 'MoveTargetTaken' })
    removePointer(dir)
    return null
  }
  if (departure !== null && departure.id !== pointer?.moveId)
    throw new FatalError(
      `all was moved to ${departure.to} already, at ${new Date(departure.at).toISOString()}. Use the embedded buffer there; a move that did not come to its end ` +
        'goes on with the same command there. Where that folder is gone for good: `tap-collector reset` on Kafka, naming every service at once, begins anew with the ' +
        'events that are there',
      { code: 'MovedToEmbedded' },
    )
  return departure?.id ?? randomUUID()
}

class MoveBack {
  readonly #source: KafkaSource
  readonly #target: EmbeddedTarget
  readonly #options: MoveBackOptions
  readonly #log: Logger
  readonly #missed = new Map<string, number>()
  #toldAt: number

  constructor(source: KafkaSource, target: EmbeddedTarget, options: MoveBackOptions) {
    this.#source = source
    this.#target = target
    this.#options = options
    this.#log = options.log
    this.#toldAt = options.clock.monotonic()
  }

  async run(): Promise<Moved> {
    const outputs = await this.#source.outputs()
    const deadLetters = await this.#moveDeadLetters()
    const services = await this.#moveState()
    const stages = await this.#moveEvents(outputs)
    this.#target.addOutputs(
      outputs.map((output) => ({ ...output, missedEvents: output.missedEvents + (this.#missed.get(output.name) ?? 0) })),
      stages,
    )
    return { events: this.#target.ends().lastEvent, services, outputs: outputs.length, deadLetters }
  }

  /** How many services. */
  async #moveState(): Promise<number> {
    const all = await this.#source.state(null)
    this.#target.addRequests(all.pools())
    const services = all.services()
    // One input after the other: memory holds the fingerprints of one.
    for (const inputId of new Set(services.map((service) => service.inputId))) {
      const view = await this.#source.state(inputId)
      for (const { service, gaps } of services.filter((of) => of.inputId === inputId)) {
        const state = view.stateOf(inputId, service)
        if (state !== null) this.#target.addService(inputId, service, state, gaps)
      }
    }
    return services.length
  }

  async #moveEvents(outputs: readonly DepartingOutput[]): Promise<StageEnd[]> {
    const { starts, ends } = await this.#source.bounds()
    const stages = planStages(outputs, starts, ends)
    // Offsets, among them the ends of transactions.
    const total = stages.flatMap(({ regions }) => regions).reduce((sum, { from, to }) => sum + to - from, 0)
    this.#log.info({ outputs: outputs.map(({ name }) => name) }, `Moving the state and at most ${counted(total, 'event')} from ${this.#source.topics.events} to ${this.#target.path}`)
    const done: StageEnd[] = []
    for (const stage of stages) {
      await this.#moveStage(stage, total)
      done.push({ needs: stage.needs, ...this.#target.ends() })
    }
    return done
  }

  async #moveStage({ needs, regions }: Stage, total: number): Promise<void> {
    const ends = new Map(regions.map(({ partition, to }) => [partition, to]))
    const { events: reader, topics } = this.#source
    const onGone = ({ position, logStart }: PositionOutOfRangeError, end: number): void => {
      for (const name of needs) this.#missed.set(name, (this.#missed.get(name) ?? 0) + Math.min(logStart, end) - position)
    }
    await this.#readAll(reader, new Map(regions.map(({ partition, from }) => [partition, from])), ends, onGone, (page, end) => {
      const units: Omit<Unit, 'position' | 'deadLetters'>[] = []
      const letters: DeadLetter[] = []
      const refuse = (record: Parameters<typeof undecodableLetter>[1]): void => {
        // As each output would have kept it when it passed over it.
        for (const output of needs.length === 0 ? [null] : needs) letters.push(undecodableLetter(topics.events, record, output, this.#options.clock.now()))
      }
      for (const step of batchesOf(page, end, () => UNLIMITED, refuse)) {
        if (step.batch === null) continue
        const { lines, fingerprints, ...pull } = step.batch
        units.push({ ...pull, chunks: [{ lines, fingerprints }] })
      }
      this.#target.append(units, letters)
      this.#tell(`${this.#target.ends().lastEvent} of at most ${counted(total, 'event')}`)
    })
  }

  /** How many. */
  async #moveDeadLetters(): Promise<number> {
    const reader = this.#source.deadLetterReader()
    let count = 0
    try {
      const view = await this.#source.state(null)
      const [starts, ends] = [await reader.offsets('earliest'), await reader.offsets('latest')]
      const removed = removedOf(view, ends.get(LETTER_PARTITION) ?? 0)
      await this.#readAll(reader, starts, ends, () => undefined, ({ partition, records }) => {
        const left = records.filter(({ offset }) => !removed.has(offset))
        const letters = left.map(({ offset, value }) => this.#deadLetterOf(partition, offset, value ?? Buffer.alloc(0)))
        this.#target.append([], letters)
        count += letters.length
        this.#tell(`${count} dead letters`)
      })
    } finally {
      await reader.close()
    }
    return count
  }

  /** One that cannot be read counts with the source's, as in `status`, and keeps its bytes. */
  #deadLetterOf(partition: number, offset: number, value: Buffer): DeadLetter {
    try {
      return decodeDeadLetter(value)
    } catch (error) {
      return undecodableLetter(this.#source.topics.deadLetters, { partition, offset, value, error }, null, this.#options.clock.now())
    }
  }

  /** Page by page up to the ends. What retention removes meanwhile is told and passed over. */
  async #readAll(
    reader: PartitionReader,
    starts: ReadonlyMap<number, number>,
    ends: ReadonlyMap<number, number>,
    onGone: (gone: PositionOutOfRangeError, end: number) => void,
    onPage: (page: FetchedPartition, end: number) => void,
  ): Promise<void> {
    const { clock, signal } = this.#options
    const positions = new Map(starts)
    let movedAt = clock.monotonic()
    for (;;) {
      const open = new Map([...positions].filter(([partition, offset]) => offset < (ends.get(partition) ?? 0)))
      if (open.size === 0) return
      if (clock.monotonic() - movedAt > STUCK_AFTER_MS) throw new RetryableError('the broker has shown nothing more of a topic for 60 s; give the command again', { code: 'KafkaUnavailable' })
      try {
        for (const page of await reader.fetch(open, { maxBytes: PAGE_BYTES, maxWaitMs: LOOK_MS, minBytes: 1, signal })) {
          const end = ends.get(page.partition) ?? 0
          if (page.nextOffset > (positions.get(page.partition) ?? 0)) movedAt = clock.monotonic()
          positions.set(page.partition, page.nextOffset)
          onPage(page, end)
        }
      } catch (error) {
        if (!(error instanceof PositionOutOfRangeError) || error.logStart <= error.position) throw error
        onGone(error, ends.get(error.partition) ?? 0)
        positions.set(error.partition, error.logStart)
      }
    }
  }

  #tell(what: string): void {
    const now = this.#options.clock.monotonic()
    if (now - this.#toldAt < TELL_EVERY_MS) return
    this.#toldAt = now
    this.#log.info(`Moving to ${this.#target.path}: ${what}`)
  }
}
