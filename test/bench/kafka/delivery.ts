import { setTimeout as wait } from 'node:timers/promises'
import { Topics } from '../../../src/buffers/kafka/topics.ts'
import { script, type Bench } from '../bench.ts'
import { Child, cpuSeconds, memoryMb } from '../children.ts'
import type { Measured } from '../window.ts'
import type { Compression, KafkaSide } from './side.ts'

const SAMPLE_MS = 100

export interface FullBuffer {
  readonly prefix: string
  readonly compression: Compression
  readonly events: number
}

/** Resident memory while a backlog was delivered, in MB. */
export interface MemoryOverTime {
  readonly firstQuarter: number
  readonly lastQuarter: number
  readonly peak: number
}

export interface Delivery extends Measured {
  readonly memory: MemoryOverTime
}

/** Everything in the buffer to an output that is new to it: from the first byte at the receiver to the last. */
export async function measureDelivery(
  bench: Bench,
  kafka: KafkaSide,
  { prefix, compression, events }: FullBuffer,
  output: string,
): Promise<Delivery> {
  await bench.count(events)
  const collector = await bench.collector({
    period: 3600, probed: false, buffer: kafka.buffer(prefix, compression), output, outputKeys: 'start_from: oldest', awaitRequest: false,
  })
  const pid = collector.process.pid ?? 0
  const sampling = new AbortController()
  try {
    await bench.receiver.next('began')
    const cpuBefore = cpuSeconds(pid)
    const samples = sampleMemory(pid, sampling.signal)
    const { at, firstByteAt } = await bench.receiver.next('complete')
    const cpu = cpuSeconds(pid) - cpuBefore
    sampling.abort()
    const memory = overTime(await samples, memoryMb(pid).peak)
    const provenAt = await kafka.proven(prefix, output)
    return {
      events,
      eventsPerSecond: events / ((Number(at) - Number(firstByteAt)) / 1_000),
      secondsToProof: (provenAt - Number(firstByteAt)) / 1_000,
      cpuSecondsPerMillion: (cpu / events) * 1e6,
      peakMb: memory.peak,
      memory,
    }
  } finally {
    sampling.abort()
    await collector.end('SIGTERM')
  }
}

/** The same topic through the bare loop. Its lines hold binary metadata, so that the end of the connection counts. */
export async function measureBareLoop(bench: Bench, kafka: KafkaSide, { prefix, events }: FullBuffer): Promise<Measured> {
  await bench.count(Infinity)
  bench.receiver.forget('ended')
  const topic = new Topics(prefix).events
  const args = [kafka.brokers.join(','), topic, String(events), String(bench.receiverPort), `${bench.dir}/certs`]
  const loop = new Child(script('kafka/bare-loop.ts'), args, {
    execArgv: ['--no-warnings'], // of its idle timers
  })
  const pid = loop.process.pid ?? 0
  try {
    await bench.receiver.next('began')
    const cpuBefore = cpuSeconds(pid)
    const { at, firstByteAt } = await bench.receiver.next('ended')
    return {
      events,
      eventsPerSecond: events / ((Number(at) - Number(firstByteAt)) / 1_000),
      secondsToProof: null,
      cpuSecondsPerMillion: ((cpuSeconds(pid) - cpuBefore) / events) * 1e6,
      peakMb: memoryMb(pid).peak,
    }
  } finally {
    await loop.end()
  }
}

async function sampleMemory(pid: number, signal: AbortSignal): Promise<number[]> {
  const samples: number[] = []
  while (!signal.aborted) {
    samples.push(memoryMb(pid).now)
    await wait(SAMPLE_MS, undefined, { signal }).catch(() => undefined)
  }
  return samples
}

function overTime(samples: readonly number[], peak: number): MemoryOverTime {
  const quarter = Math.max(1, Math.floor(samples.length / 4))
  return { firstQuarter: mean(samples.slice(0, quarter)), lastQuarter: mean(samples.slice(-quarter)), peak }
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
