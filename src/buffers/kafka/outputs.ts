import type { Logger } from 'pino'
import type { KafkaClient } from '../../kafka/client.ts'
import { commitOffsets, readOffsets } from '../../kafka/group-offsets.ts'
import type { GroupTimeouts } from '../../kafka/group-member.ts'
import type { PartitionReader } from '../../kafka/partition-reader.ts'
import type { RecordProducer } from '../../kafka/record-producer.ts'
import type { OutputStart } from '../../pipeline/buffer.ts'
import type { Clock } from '../../pipeline/clock.ts'
import { offsetsOf, vectorOf } from './cursor.ts'
import { groupOffsets } from './group-positions.ts'
import { KafkaOutput } from './output.ts'
import { STATE_PARTITION, type StateLog } from './state-log.ts'
import { jsonRecord, type SavedOutput } from './state-records.ts'
import type { Topics } from './topics.ts'

interface KafkaOutputsOptions {
  readonly client: KafkaClient
  readonly topics: Topics
  readonly stateLog: StateLog
  readonly eventReader: PartitionReader
  readonly producer: RecordProducer
  readonly clock: Clock
  readonly log: Logger
  readonly groupTimeouts: GroupTimeouts
}

/** The outputs that are on here, and what the state topic knows of all that ever were. */
export class KafkaOutputs {
  readonly #options: KafkaOutputsOptions
  readonly #open = new Map<string, KafkaOutput>()

  constructor(options: KafkaOutputsOptions) {
    this.#options = options
  }

  /**
   * A new output's beginning is committed to its group first and then written down, so that a known output always has offsets: one
   * without them was forgotten by the broker, and must not begin anew in silence. A group that has offsets keeps them: another process was
   * quicker, or the state was lost, and all that was delivered would come again.
   */
  async open(outputs: readonly OutputStart[]): Promise<void> {
    const { topics, client, stateLog, eventReader } = this.#options
    const known = new Map((await stateLog.refresh()).outputs)
    const isFirstStart = known.size === 0
    for (const { name, startFrom } of outputs) {
      const saved = known.get(name)
      if (saved !== undefined) {
        if (!saved.open) known.set(name, await this.#save(name, { ...saved, open: true }))
        continue
      }
      const begin = new Map(await eventReader.offsets(isFirstStart || startFrom === 'oldest' ? 'earliest' : 'latest'))
      const group = topics.outputGroup(name)
      const committed = await readOffsets(client, group, topics.events, [...begin.keys()])
      for (const [partition, position] of committed) if (position !== null) begin.set(partition, position.offset)
      if ([...committed.values()].includes(null)) await commitOffsets(client, group, topics.events, groupOffsets(begin, 0))
      known.set(name, await this.#save(name, { begin: vectorOf(begin), missedEvents: 0, open: true }))
    }
    const names = new Set(outputs.map(({ name }) => name))
    for (const [name, saved] of known) if (saved.open && !names.has(name)) await this.#save(name, { ...saved, open: false })
    for (const [name, output] of this.#open) {
      if (names.has(name)) continue
      this.#open.delete(name)
      await output.close()
    }
    for (const [name, saved] of known) if (names.has(name) && !this.#open.has(name)) this.#open.set(name, this.#make(name, saved))
  }

  find(name: string): KafkaOutput | undefined {
    return this.#open.get(name)
  }

  /** Throws where the output was not opened: a bug of the caller. */
  of(name: string): KafkaOutput {
    const output = this.#open.get(name)
    if (output === undefined) throw new Error(`output ${name} is not known to the buffer`)
    return output
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#open.values()].map((output) => output.close()))
  }

  #make(name: string, saved: SavedOutput): KafkaOutput {
    const { client, topics, clock, log, stateLog, groupTimeouts } = this.#options
    return new KafkaOutput({
      client,
      topics,
      name,
      clock,
      log,
      groupTimeouts,
      begin: offsetsOf(saved.begin),
      onMissed: async (events) => {
        const now = (await stateLog.refresh()).outputs.get(name) ?? saved
        await this.#save(name, { ...now, missedEvents: now.missedEvents + events })
      },
    })
  }

  /** Gives what was saved: the view does not show it before an open transaction has ended. */
  async #save(name: string, output: SavedOutput): Promise<SavedOutput> {
    const { key, value } = jsonRecord({ kind: 'output', name }, output)
    await this.#options.producer.send([
      { topic: this.#options.topics.state, partition: STATE_PARTITION, records: [{ key: Buffer.from(key), value }] },
    ])
    return output
  }
}
