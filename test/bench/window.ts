import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { script, type Bench } from './bench.ts'
import { Child, cpuSeconds, memoryMb } from './children.ts'

export interface Measured {
  readonly events: number
  /** From the request of the window to the last byte read at the receiver. */
  readonly eventsPerSecond: number
  /** From the request to the last proof; null where nothing is proven. */
  readonly secondsToProof: number | null
  readonly cpuSecondsPerMillion: number
  readonly peakMb: number
}

/** One window of the given size through the running collector. */
export async function measureCollector(bench: Bench, bytes: number): Promise<Measured> {
  await rm(join(bench.dir, 'state'), { recursive: true, force: true })
  const collector = await bench.collector({ period: 1 })
  const pid = collector.process.pid ?? 0
  try {
    // two more passes: the probe of the output runs beside the first one
    await new Promise((resolve) => setTimeout(resolve, 3_000))
    const events = await bench.prepare(bytes)
    await bench.count(events)
    const cpuBefore = cpuSeconds(pid)
    bench.arm()
    const requestedAt = await bench.api.number('requested', 'at')
    const completeAt = await bench.receiver.number('complete', 'at')
    const provenAt = await bench.proven(completeAt)
    return {
      events,
      eventsPerSecond: events / ((completeAt - requestedAt) / 1_000),
      secondsToProof: (provenAt - requestedAt) / 1_000,
      cpuSecondsPerMillion: ((cpuSeconds(pid) - cpuBefore) / events) * 1e6,
      peakMb: memoryMb(pid).peak,
    }
  } finally {
    await collector.end()
  }
}

/** The same window through the naive loop. */
export async function measureNaive(bench: Bench, bytes: number): Promise<Measured> {
  const naive = new Child(script('naive.ts'), [String(bench.apiPort), String(bench.receiverPort), join(bench.dir, 'certs')])
  const pid = naive.process.pid ?? 0
  await naive.next('ready')
  const events = await bench.prepare(bytes)
  await bench.count(events)
  bench.arm()
  const cpuBefore = cpuSeconds(pid)
  const exited = new Promise((resolve) => naive.process.once('exit', resolve))
  naive.send({ type: 'go' })
  const requestedAt = await bench.api.number('requested', 'at')
  const completeAt = await bench.receiver.number('complete', 'at')
  const cpu = cpuSeconds(pid) - cpuBefore
  const { peak } = memoryMb(pid)
  await exited
  return {
    events,
    eventsPerSecond: events / ((completeAt - requestedAt) / 1_000),
    secondsToProof: null,
    cpuSecondsPerMillion: (cpu / events) * 1e6,
    peakMb: peak,
  }
}
