/** What a member held last, and in which generation of the group: the younger claim counts, for who was thought dead still claims. */
export interface Claim {
  readonly generation: number
  readonly partitions: readonly number[]
}

const NO_CLAIM: Claim = { generation: -1, partitions: [] }

/**
 * Spreads partitions so that no member has two more than another, and each keeps what it had as far as that goes: a partition that moves
 * costs a commit and a new reader. With more members than partitions some get none.
 */
export function assignPartitions(partitions: readonly number[], members: ReadonlyMap<string, Claim>): Map<string, number[]> {
  const ids = [...members.keys()].sort()
  const kept = keepClaims(partitions, members, ids)
  const base = Math.floor(partitions.length / ids.length)
  let larger = partitions.length % ids.length
  const free = new Set(partitions)
  const quotas = new Map<string, number>()
  // The larger shares go to those who hold most already.
  for (const id of [...ids].sort((a, b) => heldBy(kept, b).length - heldBy(kept, a).length)) {
    quotas.set(id, base + (larger > 0 ? 1 : 0))
    larger -= 1
  }
  const assigned = new Map<string, number[]>()
  for (const id of ids) {
    const share = heldBy(kept, id).slice(0, quotas.get(id))
    for (const partition of share) free.delete(partition)
    assigned.set(id, share)
  }
  const rest = [...free].sort((a, b) => a - b)
  for (const [id, share] of assigned) share.push(...rest.splice(0, Math.max(0, (quotas.get(id) ?? 0) - share.length)))
  for (const share of assigned.values()) share.sort((a, b) => a - b)
  return assigned
}

export function encodeClaim(claim: Claim): Buffer {
  return Buffer.from(JSON.stringify(claim))
}

/** No claim where it cannot be read: then its member is treated as a new one. */
export function decodeClaim(data: Buffer | null): Claim {
  try {
    const parsed: unknown = JSON.parse(data?.toString() ?? '')
    if (typeof parsed !== 'object' || parsed === null || !('generation' in parsed) || !('partitions' in parsed)) return NO_CLAIM
    const { generation, partitions } = parsed
    if (!Number.isSafeInteger(generation) || !Array.isArray(partitions)) return NO_CLAIM
    return { generation: Number(generation), partitions: partitions.filter((partition): partition is number => Number.isSafeInteger(partition)) }
  } catch {
    return NO_CLAIM
  }
}

function keepClaims(partitions: readonly number[], members: ReadonlyMap<string, Claim>, ids: readonly string[]): ReadonlyMap<string, number[]> {
  const claimable = new Set(partitions)
  const kept = new Map<string, number[]>()
  const youngestFirst = ids
    .map((id) => ({ id, claim: members.get(id) ?? NO_CLAIM }))
    .sort((a, b) => b.claim.generation - a.claim.generation)
  for (const { id, claim } of youngestFirst)
    kept.set(id, [...claim.partitions].sort((a, b) => a - b).filter((partition) => claimable.delete(partition)))
  return kept
}

function heldBy(kept: ReadonlyMap<string, number[]>, id: string): readonly number[] {
  return kept.get(id) ?? []
}
