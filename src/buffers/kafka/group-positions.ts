import type { GroupOffset } from '../../kafka/group-offsets.ts'
import type { Offsets } from './cursor.ts'

/** As an output's group keeps them: with the time of the last proof, epoch milliseconds, 0 where there is none. */
export function groupOffsets(offsets: Offsets, provenAt: number): Map<number, GroupOffset> {
  return new Map([...offsets].map(([partition, offset]) => [partition, { offset, metadata: JSON.stringify({ provenAt }) }]))
}

/** What `groupOffsets` wrote beside an offset; 0 where somebody else did. */
export function provenAtOf(metadata: string): number {
  try {
    const parsed: unknown = JSON.parse(metadata)
    const provenAt = typeof parsed === 'object' && parsed !== null && 'provenAt' in parsed ? Number(parsed.provenAt) : 0
    return Number.isFinite(provenAt) ? provenAt : 0
  } catch {
    return 0
  }
}
