import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { cpuSeconds, memoryMb } from './children.ts'
import type { Bench } from './bench.ts'
import type { Measured } from './window.ts'
import { readSnapshot } from '../../src/buffers/embedded/reader.ts'

/** A buffer that filled up while the receiver was away, delivered after a restart: from the first byte at the receiver to the last. */
export async function measureBacklog(bench: Bench, bytes: number): Promise<Measured> {
  await rm(join(bench.dir, 'state'), { recursive: true, force: true })
  await bench.stopReceiver()
  const filling = await bench.collector({ period: 1, probed: false })
  // the first request only asks for the time
  await bench.api.next('request')
  const events = await bench.prepare(bytes)
  bench.arm()
  await bench.api.next('requested')
  const backlog = async (): Promise<number> => (await readSnapshot(join(bench.dir, 'state'))).outputs[0]?.backlogEvents ?? 0
  while ((await backlog()) < events) await new Promise((resolve) => setTimeout(resolve, 100))
  await filling.end('SIGTERM')

  await bench.restartReceiver()
  await bench.count(events)
  const collector = await bench.collector({ period: 3600 })
  const pid = collector.process.pid ?? 0
  try {
    const { at, firstByteAt } = await bench.receiver.next('complete')
    const provenAt = await bench.proven(Number(at))
    return {
      events,
      eventsPerSecond: events / ((Number(at) - Number(firstByteAt)) / 1_000),
      secondsToProof: (provenAt - Number(firstByteAt)) / 1_000,
      cpuSecondsPerMillion: (cpuSeconds(pid) / events) * 1e6,
      peakMb: memoryMb(pid).peak,
    }
  } finally {
    await collector.end()
  }
}
