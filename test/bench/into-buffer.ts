import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { readSnapshot } from '../../src/buffers/embedded/reader.ts'
import type { Bench } from './bench.ts'
import { cpuSeconds, memoryMb } from './children.ts'
import type { Compression, KafkaSide } from './kafka/side.ts'
import type { Measured } from './window.ts'

/** Nothing was added for so long: the last addition was the last one. */
const STILL_MS = 1_500
/** Each look costs a broker some CPU. */
const LOOK_MS = 25

/** One window from the API into the buffer, while the receiver is away: from its request to the last event that is durable. */
export async function measureIntoBuffer(
  bench: Bench,
  bytes: number,
  kafka: KafkaSide | null,
  compression: Compression = 'none',
): Promise<Measured> {
  await rm(join(bench.dir, 'state'), { recursive: true, force: true })
  const prefix = kafka?.prefix() ?? ''
  const buffer = kafka?.buffer(prefix, compression)
  const collector = await bench.collector({ period: 1, probed: false, ...(buffer !== undefined && { buffer }) })
  const offsets = kafka?.offsets(prefix)
  const embedded = async (): Promise<number> => (await readSnapshot(join(bench.dir, 'state'))).outputs[0]?.backlogEvents ?? 0
  const size = offsets === undefined ? embedded : () => offsets.count()
  const pid = collector.process.pid ?? 0
  try {
    // The first request only asks for the time.
    await bench.api.next('request')
    const events = await bench.prepare(bytes)
    await size()
    const cpuBefore = cpuSeconds(pid)
    bench.arm()
    const requestedAt = await bench.api.number('requested', 'at')
    const grown = await lastGrowth(size, events, () => cpuSeconds(pid))
    return {
      events,
      eventsPerSecond: events / ((grown.at - requestedAt) / 1_000),
      secondsToProof: null,
      cpuSecondsPerMillion: ((grown.sample - cpuBefore) / events) * 1e6,
      peakMb: memoryMb(pid).peak,
    }
  } finally {
    await collector.end('SIGTERM')
    await offsets?.close()
  }
}

/** When the size last changed, once it is at least `enough`, and what `sample` said then. */
async function lastGrowth(
  size: () => Promise<number>,
  enough: number,
  sample: () => number,
): Promise<{ readonly at: number; readonly sample: number }> {
  let last = { at: 0, size: -1, sample: 0 }
  for (;;) {
    const found = await size()
    const at = performance.timeOrigin + performance.now()
    if (found !== last.size) last = { at, size: found, sample: sample() }
    else if (found >= enough && at - last.at > STILL_MS) return last
    await wait(LOOK_MS)
  }
}
