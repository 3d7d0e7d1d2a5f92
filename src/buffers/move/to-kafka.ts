import type { Logger } from 'pino'
import { TopicsMissingError } from '../../kafka/errors.ts'
import { counted } from '../../pipeline/counted.ts'
import { vectorOf, type Offsets } from '../kafka/cursor.ts'
import { jsonRecord, LAYOUT_VERSION, type SavedMove } from '../kafka/state-records.ts'
import { deadLetterRecords, unitRecords } from '../kafka/unit-records.ts'
import { EmbeddedSource, identityOfFile } from './embedded-source.ts'
import { movedState } from './moved-state.ts'
import { planSections, type Section } from './plan.ts'
import { writePointer } from './pointer.ts'
import { MoveTarget, type TargetOptions } from './target.ts'

const TELL_EVERY_MS = 30_000

export interface MoveOptions extends TargetOptions {
  /** The state folder with `buffer.db`. */
  readonly dir: string
  /** Called once it is certain that there is something to move, which may take a while. */
  readonly onBegin: () => Promise<void>
}

/**
 * Carries the content of the embedded buffer over to Kafka: undelivered events, how far each output is, marks, fingerprints, holes, gaps, dead letters
 * and the quota log, each once. The file is only read, and renamed at the end. A kill at any moment does no harm: called again, it goes on.
 * Nothing where there is no `buffer.db`. Throws FatalError where only a person can help (the folder or the topics are in use, the file is
 * damaged), RetryableError while the brokers are away (call again), and the signal's reason.
 *
 *   begin ──▶ events, section by section ──▶ dead letters ──▶ state ──▶ outputs' groups ──▶ layout and done, in one ──▶ rename
 *     every arrow is a transaction that writes how far it has come with it; from the groups on everything may be done twice
 */
export async function moveToKafka(options: MoveOptions): Promise<void> {
  const { dir, clock, connection, prefix, log } = options
  const source = EmbeddedSource.open(dir, clock.now())
  if (source === null) return
  const target = new MoveTarget(options)
  try {
    const start = { from: source.identity, source: source.place, section: 0, chunk: 0, deadLetter: 0, begin: {}, done: false }
    const move = await target.begin(start)
    // From here on the folder's events are in Kafka, or will be: the embedded buffer must not go on with the file in silence.
    writePointer(dir, { topicPrefix: prefix, brokers: connection.brokers, movedFrom: source.identity })
    await options.onBegin()
    if (!move.done) await new Move(source, target, options).run(move)
    log.info(`The embedded buffer is now in Kafka, and its file is called ${source.retire(clock.now())}; it is no longer needed`)
  } finally {
    await target.close()
    source.close()
  }
}

/** Whether a start could move the folder's `buffer.db`; writes nothing. Throws as `moveToKafka`, but does not care who holds the folder. */
export async function checkMoveToKafka(options: TargetOptions & { readonly dir: string }): Promise<void> {
  const target = new MoveTarget(options)
  try {
    await target.check(identityOfFile(options.dir), { create: false })
  } catch (error) {
    if (!(error instanceof TopicsMissingError && options.createTopics)) throw error
  } finally {
    await target.close()
  }
}

class Move {
  readonly #source: EmbeddedSource
  readonly #target: MoveTarget
  readonly #options: MoveOptions
  readonly #log: Logger
  #toldAt: number

  constructor(source: EmbeddedSource, target: MoveTarget, options: MoveOptions) {
    this.#source = source
    this.#target = target
    this.#options = options
    this.#log = options.log
    this.#toldAt = options.clock.monotonic()
  }

  async run(start: SavedMove): Promise<void> {
    const { outputs, snapshot, path } = this.#source
    const sections = planSections(this.#source.stretches(), outputs, partitionsOf(await this.#target.ends()))
    const left = sections.slice(start.section).map((section, index) => this.#source.countEvents(section, index === 0 ? Math.max(start.chunk, section.from) : section.from))
    const events = left.reduce((sum, count) => sum + count, 0)
    this.#log.info(
      { events, services: snapshot.services.length, outputs: outputs.map(({ name }) => name) },
      `Moving the embedded buffer ${path} to Kafka, topic_prefix ${this.#options.prefix}: ${counted(events, 'event')} that an output may still need, and the state. ` +
        'It may be stopped at any time and goes on at the next start',
    )
    let move = await this.#moveEvents(start, sections, events)
    move = await this.#moveDeadLetters(move)
    for (const part of movedState(this.#source)) await this.#target.commit([], move, part)
    await this.#finish(move)
    this.#log.info({ events }, `Moved ${counted(events, 'event')}, ${counted(snapshot.services.length, 'service')} and ${counted(outputs.length, 'output')} to Kafka`)
  }

  async #moveEvents(start: SavedMove, sections: readonly Section[], total: number): Promise<SavedMove> {
    let move = start
    let moved = 0
    for (const [index, section] of sections.entries()) {
      if (index < move.section) continue
      if (index > move.section) move = { ...move, section: index, chunk: section.from }
      for (;;) {
        const page = this.#source.events(section, Math.max(move.chunk, section.from))
        if (page === null) break
        move = { ...move, chunk: page.lastChunk, begin: begun(move.begin, section.needs, section.partitions, await this.#target.ends()) }
        const records = page.events.flatMap((unit) => unitRecords(unit, this.#target.topics, section.partitions))
        await this.#target.commit(records, move)
        moved += page.count
        this.#tell(`${moved} of ${counted(total, 'event')}`)
      }
    }
    return move
  }

  async #moveDeadLetters(start: SavedMove): Promise<SavedMove> {
    let move = start
    for (;;) {
      const { letters, last } = this.#source.deadLetters(move.deadLetter)
      if (letters.length === 0) return move
      move = { ...move, deadLetter: last }
      await this.#target.commit([deadLetterRecords(letters, this.#target.topics)], move)
      this.#tell('dead letters')
    }
  }

  /** The groups first: a known output always has offsets. */
  async #finish(move: SavedMove): Promise<void> {
    const { outputs } = this.#source
    const ends = await this.#target.ends()
    const begin = begun(move.begin, outputs.map(({ name }) => name), partitionsOf(ends), ends)
    for (const { name, provenAt } of outputs) await this.#target.commitOutput(name, begin[name] ?? {}, provenAt)
    await this.#target.commit([], { ...move, begin, done: true }, [
      ...outputs.map(({ name, missedEvents, open }) => jsonRecord({ kind: 'output', name }, { begin: begin[name] ?? {}, missedEvents, open })),
      jsonRecord({ kind: 'layout' }, { version: LAYOUT_VERSION }),
    ])
  }

  #tell(what: string): void {
    const now = this.#options.clock.monotonic()
    if (now - this.#toldAt < TELL_EVERY_MS) return
    this.#toldAt = now
    this.#log.info(`Moving the embedded buffer to Kafka: ${what}`)
  }
}

/** The outputs begin where the partitions end now, as far as they have not begun there. */
function begun(begin: SavedMove['begin'], outputs: readonly string[], partitions: readonly number[], ends: Offsets): SavedMove['begin'] {
  const here = vectorOf(new Map(partitions.map((partition) => [partition, ends.get(partition) ?? 0])))
  return { ...begin, ...Object.fromEntries(outputs.map((name) => [name, { ...here, ...begin[name] }])) }
}

function partitionsOf(ends: Offsets): number[] {
  return [...ends.keys()].sort((a, b) => a - b)
}

