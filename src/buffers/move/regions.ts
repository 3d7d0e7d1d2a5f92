import type { Offsets } from '../kafka/cursor.ts'

/** How far an output is in Kafka: the next offset of each partition. */
export interface OutputOffsets {
  readonly name: string
  readonly offsets: Offsets
}

/** Offsets from `from` on, below `to`. */
export interface Region {
  readonly partition: number
  readonly from: number
  readonly to: number
}

/** What exactly these outputs still need; no output: what is for whichever come. A partition is in it once at most. */
export interface Stage {
  readonly needs: readonly string[]
  readonly regions: readonly Region[]
}

/**
 * In which order the events are laid into the embedded buffer's one line. In every partition, each output needs all from its offset on; so it is
 * cut at the offsets, and of each cut more outputs need what lies behind it. What fewer need comes first: as a rule an output then begins
 * behind all that it does not need, and has nothing to pass over.
 */
export function planStages(outputs: readonly OutputOffsets[], starts: Offsets, ends: Offsets): Stage[] {
  const stages = new Map<string, { readonly needs: readonly string[]; readonly regions: Region[] }>()
  for (const [partition, end] of ends) {
    for (const { needs, ...region } of cut(partition, outputs, starts.get(partition) ?? 0, end)) {
      const key = JSON.stringify(needs)
      const stage = stages.get(key) ?? { needs, regions: [] }
      stages.set(key, stage)
      stage.regions.push(region)
    }
  }
  return [...stages.values()].sort((a, b) => a.needs.length - b.needs.length)
}

function cut(partition: number, outputs: readonly OutputOffsets[], start: number, end: number): (Region & { readonly needs: readonly string[] })[] {
  const begins = outputs.map(({ name, offsets }) => ({ name, offset: offsets.get(partition) ?? start }))
  const bounds = outputs.length === 0 ? [start] : [...new Set(begins.map(({ offset }) => offset))].sort((a, b) => a - b)
  return bounds
    .map((from, index) => ({
      partition,
      from,
      to: Math.min(bounds[index + 1] ?? end, end),
      needs: begins.filter(({ offset }) => offset <= from).map(({ name }) => name).sort(),
    }))
    .filter(({ from, to }) => from < to)
}
