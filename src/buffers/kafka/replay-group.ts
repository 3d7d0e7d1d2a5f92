import type { KafkaClient } from '../../kafka/client.ts'
import { explainKafkaError } from '../../kafka/errors.ts'
import { commitOffsets, readOffsets, type GroupOffset } from '../../kafka/group-offsets.ts'
import type { SavedReplay } from '../../pipeline/replay-store.ts'
import { cursorOf, parseCursor, type Offsets } from './cursor.ts'
import type { Topics } from './topics.ts'

/** What stands beside each offset: the outputs of a replay share a group, whose own offset is that of the slowest. */
interface Beside {
  readonly request: string
  readonly run: string
  readonly offsets: Readonly<Record<string, number>>
}

/** Where a replay stands, as a consumer group without members keeps it. */
export class ReplayGroup {
  readonly #client: KafkaClient
  readonly #topics: Topics
  readonly #begin: Offsets

  /** `begin`: for a partition that the group knows nothing of. */
  constructor(client: KafkaClient, topics: Topics, begin: Offsets) {
    this.#client = client
    this.#topics = topics
    this.#begin = begin
  }

  async load(id: string): Promise<SavedReplay | null> {
    const found = await readOffsets(this.#client, this.#topics.replayGroup(id), this.#topics.events, [...this.#begin.keys()])
    const known = [...found].flatMap(([partition, position]) => {
      const beside = position === null ? null : parse(position.metadata)
      return beside === null ? [] : [{ partition, ...beside }]
    })
    const [first] = known
    if (first === undefined) return null
    const outputs = Object.keys(first.offsets)
    const cursors = outputs.map((output) => {
      const offsets = new Map(this.#begin)
      for (const { partition, offsets: kept } of known) offsets.set(partition, kept[output] ?? offsets.get(partition) ?? 0)
      return [output, cursorOf(offsets)] as const
    })
    return { request: first.request, run: first.run, cursors: Object.fromEntries(cursors) }
  }

  async save(id: string, { request, run, cursors }: SavedReplay): Promise<void> {
    const parsed = Object.entries(cursors).map(([output, cursor]) => [output, parseCursor(cursor)] as const)
    const offsets = new Map<number, GroupOffset>()
    for (const [partition, begin] of this.#begin) {
      const ofOutputs = Object.fromEntries(parsed.map(([output, own]) => [output, own.get(partition) ?? begin]))
      offsets.set(partition, { offset: Math.min(...Object.values(ofOutputs)), metadata: JSON.stringify({ request, run, offsets: ofOutputs } satisfies Beside) })
    }
    await commitOffsets(this.#client, this.#topics.replayGroup(id), this.#topics.events, offsets)
  }

  async remove(id: string): Promise<void> {
    const admin = this.#client.admin()
    try {
      await admin.connect()
      await admin.deleteGroups([this.#topics.replayGroup(id)])
    } catch (error) {
      throw explainKafkaError(error, `removing the group ${this.#topics.replayGroup(id)}`)
    } finally {
      await admin.disconnect().catch(() => undefined)
    }
  }
}

function parse(metadata: string): Beside | null {
  try {
    const parsed: unknown = JSON.parse(metadata)
    if (typeof parsed !== 'object' || parsed === null || !('request' in parsed) || !('run' in parsed) || !('offsets' in parsed)) return null
    const { request, run, offsets } = parsed
    if (typeof request !== 'string' || typeof run !== 'string' || typeof offsets !== 'object' || offsets === null) return null
    const entries = Object.entries(offsets).map(([output, offset]) => [output, Number(offset)] as const)
    return entries.every(([, offset]) => Number.isSafeInteger(offset)) ? { request, run, offsets: Object.fromEntries(entries) } : null
  } catch {
    return null
  }
}
