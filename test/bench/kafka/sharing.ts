import { setTimeout as wait } from 'node:timers/promises'
import type { Bench } from '../bench.ts'
import { cpuSeconds, type Child } from '../children.ts'
import type { FullBuffer } from './delivery.ts'
import type { KafkaSide } from './side.ts'

/** Small shipments, one at a time, each proven by a second of silence: a process waits for its endpoint and hardly uses the CPU. */
const SHIPMENT_EVENTS = 500
const FAR_ENDPOINT = {
  outputKeys: `start_from: oldest, shipments_in_flight: 1, max_shipment_events: ${SHIPMENT_EVENTS}`,
  outputConfig: 'probe_in_milliseconds: 500, quiet_in_milliseconds: 1000',
} as const

export interface Shared {
  readonly processes: number
  readonly eventsPerSecond: number
  /** Of all the processes together, in cores. */
  readonly cores: number
}

/** So many collectors on one buffer and one output, over some seconds with the shares dealt. */
export async function measureSharing(
  bench: Bench,
  kafka: KafkaSide,
  { prefix, compression }: FullBuffer,
  processes: number,
  seconds: number,
): Promise<Shared> {
  await bench.count(Infinity)
  const output = `far_${processes}`
  const collectors: Child[] = []
  try {
    const buffer = kafka.buffer(prefix, compression)
    for (let count = 0; count < processes; count += 1)
      collectors.push(await bench.collector({ period: 3600, probed: false, awaitRequest: false, buffer, output, ...FAR_ENDPOINT }))
    await kafka.shared(prefix, output, processes)
    // Each has begun with its new share once as many shipments as there are processes have arrived.
    const settledAt = (await lines(bench)).lines + 2 * processes * SHIPMENT_EVENTS
    let before = await lines(bench)
    while (before.lines < settledAt) {
      await wait(50)
      before = await lines(bench)
    }
    const cpuBefore = cpuOf(collectors)
    await wait(seconds * 1_000)
    const after = await lines(bench)
    const elapsed = (after.at - before.at) / 1_000
    return {
      processes,
      eventsPerSecond: (after.lines - before.lines) / elapsed,
      cores: (cpuOf(collectors) - cpuBefore) / elapsed,
    }
  } finally {
    await Promise.all(collectors.map((collector) => collector.end('SIGTERM')))
  }
}

async function lines(bench: Bench): Promise<{ readonly lines: number; readonly at: number }> {
  bench.receiver.send({ type: 'lines' })
  const answer = await bench.receiver.next('lines')
  return { lines: Number(answer.lines), at: Number(answer.at) }
}

function cpuOf(collectors: readonly Child[]): number {
  return collectors.reduce((sum, { process }) => sum + cpuSeconds(process.pid ?? 0), 0)
}
