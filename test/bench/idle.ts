import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { cpuSeconds, memoryMb } from './children.ts'
import { Bench } from './bench.ts'

/** From the start of the process to its first request, and what it costs while nothing happens. `buffer`: as in `CollectorSetup`. */
export async function measureIdle(seconds: number, buffer?: string): Promise<string> {
  const bench = await Bench.start()
  const setup = { period: 300, probed: false, ...(buffer !== undefined && { buffer }) }
  try {
    const starts: number[] = []
    for (let round = 0; round < 5; round += 1) {
      await rm(join(bench.dir, 'state'), { recursive: true, force: true })
      bench.api.forget('request')
      const startedAt = performance.timeOrigin + performance.now()
      const collector = await bench.collector({ ...setup, awaitRequest: false })
      starts.push((await bench.api.number('request', 'at')) - startedAt)
      // Killed, it would stay a member of its groups, and the next one would wait for its place.
      await collector.end('SIGTERM')
    }
    starts.sort((a, b) => a - b)

    const collector = await bench.collector(setup)
    const pid = collector.process.pid ?? 0
    await new Promise((resolve) => setTimeout(resolve, 5_000))
    const cpuBefore = cpuSeconds(pid)
    await new Promise((resolve) => setTimeout(resolve, seconds * 1_000))
    const share = ((cpuSeconds(pid) - cpuBefore) / seconds) * 100
    const { now } = memoryMb(pid)
    await collector.end('SIGTERM')
    return `start to first request: ${Math.round(starts[2] ?? 0)} ms (median of 5); idle: ${share.toFixed(2)} % of a core, ${now.toFixed(0)} MB`
  } finally {
    await bench.close()
  }
}
