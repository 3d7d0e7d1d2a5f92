/** The known name that was probably meant, or null where none is near. */
export function nearest(seen: string, known: Iterable<string>): string | null {
  let best: string | null = null
  let bestDistance = Infinity
  const lower = seen.toLowerCase()
  for (const name of known) {
    const distance = likeness(lower, name.toLowerCase())
    if (distance < bestDistance) {
      best = name
      bestDistance = distance
    }
  }
  const allowed = seen.length < 4 ? Math.min(seen.length, 1) : Math.max(2, Math.floor(seen.length / 3))
  return bestDistance <= allowed ? best : null
}

/** True where the name differs from a known one by a slip of the fingers. */
export function isSlip(seen: string, known: Iterable<string>): boolean {
  for (const name of known) if (seen.length > 4 && editDistance(seen.toLowerCase(), name.toLowerCase()) <= 2) return true
  return false
}

/** Half a name counts as near: `request_period` for `request_period_in_seconds`. */
function likeness(seen: string, known: string): number {
  const partial = seen.length >= 4 && (known.startsWith(seen) || seen.startsWith(known))
  return partial ? 1.5 : editDistance(seen, known)
}

/** Insertions, deletions, replacements and swaps of neighbours. */
export function editDistance(a: string, b: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const same = a[i - 1] === b[j - 1]
      let cost = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + (same ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) cost = Math.min(cost, (beforeLast[j - 2] ?? 0) + 1)
      row.push(cost)
    }
    beforeLast = last
    last = row
  }
  return last[b.length] ?? 0
}
