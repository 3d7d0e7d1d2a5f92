import { FatalError } from '../../pipeline/errors.ts'

/** How far an output is in the embedded buffer: the number of the last chunk that it has. */
export interface OutputCursor {
  readonly name: string
  readonly chunk: number
}

/** Chunks behind `from`, up to and with `to`; `only`: those that are for these outputs alone, null: those for all. */
export interface Stretch {
  readonly from: number
  readonly to: number
  readonly only: readonly string[] | null
}

/** A stretch that the same outputs still need as a whole, and the partitions that it may go to. */
export interface Section extends Stretch {
  readonly needs: readonly string[]
  readonly partitions: readonly number[]
}

/**
 * In which order and where the chunks are written. An output in Kafka has one place in each partition and gets all that lies behind it, so in
 * every partition what fewer outputs need must lie before what more of them need: no output then gets what it has, and none misses anything.
 * Usually each stretch's outputs contain those of the stretch before, and every stretch goes to all partitions. Where they do not (the
 * buffer once came from Kafka, with the outputs far apart) the sets are laid into chains, each with partitions of its own.
 * Chunks that no output needs are in no section; without outputs all chunks are for whichever come. Throws FatalError where the partitions are too few.
 */
export function planSections(stretches: readonly Stretch[], outputs: readonly OutputCursor[], partitions: readonly number[]): Section[] {
  const pieces = stretches
    .flatMap((stretch) => cut(stretch, outputs))
    .filter(({ needs }) => outputs.length === 0 || needs.length > 0)
    .sort((a, b) => a.needs.length - b.needs.length || a.from - b.from)
  const chains = chainsOf(pieces.map(({ needs }) => needs))
  if (chains.length > partitions.length) {
    throw new FatalError(
      `the outputs of the embedded buffer are so far apart that their events need ${chains.length} partitions, and the events topic has ${partitions.length}. ` +
        'Use another topic_prefix with more `partitions`, or let the outputs deliver with the embedded buffer first',
      { code: 'MoveNeedsPartitions' },
    )
  }
  return pieces.map((piece) => {
    const own = partitions.filter((_, index) => chains[index % chains.length]?.has(setKey(piece.needs)))
    return { ...piece, partitions: own }
  })
}

/** At the outputs' cursors. */
function cut({ from, to, only }: Stretch, outputs: readonly OutputCursor[]) {
  const concerned = outputs.filter(({ name }) => only === null || only.includes(name))
  const inside = concerned.map(({ chunk }) => chunk).filter((chunk) => chunk > from && chunk < to)
  const bounds = [from, ...new Set(inside.sort((a, b) => a - b)), to]
  return bounds.slice(0, -1).map((begin, index) => ({
    only,
    from: begin,
    to: bounds[index + 1] ?? to,
    needs: concerned.filter(({ chunk }) => chunk <= begin).map(({ name }) => name).sort(),
  }))
}

/** The sets, smaller ones first, as few chains in which each contains the one before; a set that contains the ends of several ends them all. */
function chainsOf(sets: readonly (readonly string[])[]): ReadonlySet<string>[] {
  const distinct = [...new Map(sets.map((set) => [setKey(set), new Set(set)])).values()]
  const chains: { top: ReadonlySet<string>; readonly keys: Set<string> }[] = []
  for (const set of distinct) {
    const key = setKey([...set])
    const below = chains.filter(({ top }) => top.isSubsetOf(set))
    if (below.length === 0) chains.push({ top: set, keys: new Set([key]) })
    for (const chain of below) {
      chain.top = set
      chain.keys.add(key)
    }
  }
  return chains.map(({ keys }) => keys)
}

function setKey(names: readonly string[]): string {
  return JSON.stringify(names)
}
