import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Batch } from '../pipeline/event.ts'

/** A batch of the given events, each the text of one JSON object, with a fingerprint of its own for each text. */
export function batchOf(events: readonly string[], pull: Partial<Pick<Batch, 'inputId' | 'service' | 'pulledAt' | 'environment'>> = {}): Batch {
  return {
    inputId: 'input-1',
    service: 'clicksBlocked',
    pulledAt: 1_700_000_000_123,
    environment: null,
    ...pull,
    lines: Buffer.from(events.map((event) => `${event}\n`).join('')),
    fingerprints: Buffer.concat(events.map((event) => createHash('md5').update(event).digest())),
  }
}

/** Batches of events with the ids `NAME-0`, `NAME-1` ... */
export function batchesOf(name: string, events: number, perBatch = 10, bytesEach = 200): { readonly ids: string[]; readonly batches: Batch[] } {
  const ids = Array.from({ length: events }, (_, index) => `${name}-${index}`)
  const batches: Batch[] = []
  for (let at = 0; at < events; at += perBatch) {
    batches.push(batchOf(ids.slice(at, at + perBatch).map((id) => JSON.stringify({ id, text: 'x'.repeat(bytesEach) }))))
  }
  return { ids, batches }
}

/** For what shows itself by no event: asks until it holds, and fails with what was seen last. */
export async function eventually<T>(look: () => T, holds: (seen: T) => boolean, withinMs = 5_000): Promise<T> {
  const until = performance.now() + withinMs
  for (;;) {
    const seen = look()
    if (holds(seen)) return seen
    if (performance.now() > until) throw new Error(`still ${JSON.stringify(seen)} after ${withinMs} ms`)
    await sleep(5)
  }
}
