import { join } from 'node:path'
import { CLI, type Bench } from './bench.ts'
import { Child, cpuSeconds, memoryMb } from './children.ts'
import type { Measured } from './window.ts'

const HOUR_MS = 3_600_000

/** All that is in the buffer once more, with no collector beside: from the first byte at the receiver to the last. */
export async function measureReplay(bench: Bench, events: number): Promise<Measured> {
  await bench.count(events)
  const [from, to] = [-24 * HOUR_MS, 0].map((ms) => new Date(Date.now() + ms).toISOString())
  const replay = new Child(CLI, ['replay', '--config', join(bench.dir, 'config', 'config.yaml'), '--from', from ?? '', '--to', to ?? ''], { silent: true })
  const pid = replay.process.pid ?? 0
  const ended = new Promise<number>((resolve) => replay.process.once('exit', () => resolve(performance.timeOrigin + performance.now())))
  try {
    const { at, firstByteAt } = await bench.receiver.next('complete')
    const [cpu, peakMb] = [cpuSeconds(pid), memoryMb(pid).peak]
    return {
      events,
      eventsPerSecond: events / ((Number(at) - Number(firstByteAt)) / 1_000),
      secondsToProof: ((await ended) - Number(firstByteAt)) / 1_000,
      cpuSecondsPerMillion: (cpu / events) * 1e6,
      peakMb,
    }
  } finally {
    await replay.end()
  }
}
