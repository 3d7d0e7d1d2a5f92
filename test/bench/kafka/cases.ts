import type { Bench } from '../bench.ts'
import { measureIdle } from '../idle.ts'
import { measureIntoBuffer } from '../into-buffer.ts'
import { measureReplay } from '../replay.ts'
import { HEAD, median, print, row } from '../table.ts'
import type { Measured } from '../window.ts'
import { measureBareLoop, measureDelivery, type Delivery } from './delivery.ts'
import { measureRestore } from './restore.ts'
import { measureSharing } from './sharing.ts'
import type { Compression, KafkaSide } from './side.ts'

const COMPRESSIONS = ['none', 'gzip'] as const
const MB = 1e6
const WARMING_EVENTS = 50_000

/** The cases of the Kafka buffer, each beside what it is compared with. */
export async function runKafkaCases(bench: Bench, kafka: KafkaSide, quick: boolean): Promise<void> {
  const rounds = quick ? 1 : 3
  const rows = await intoBuffer(bench, kafka, (quick ? 100 : 300) * MB, rounds)
  rows.push(...(await delivery(bench, kafka, quick ? 100_000 : 300_000, rounds)))
  print(HEAD, rows)
  await backlog(bench, kafka, quick ? 100_000 : 1_000_000, quick ? 8 : 20)
  console.error('Kafka: start and idle ...')
  console.log(`Kafka, ${await measureIdle(quick ? 10 : 30, kafka.buffer(kafka.prefix(), 'gzip'))}`)
  console.error('Kafka: a state of a month ...')
  console.log(await measureRestore(bench, kafka))
}

async function intoBuffer(bench: Bench, kafka: KafkaSide, bytes: number, rounds: number): Promise<string[][]> {
  const embedded: Measured[] = []
  const byCompression = { none: [] as Measured[], gzip: [] as Measured[] }
  const ofBroker = { none: [] as number[], gzip: [] as number[] }
  console.error('into the buffer: warming the broker, for one runs for months ...')
  for (const compression of COMPRESSIONS) await kafka.fill(kafka.prefix(), compression, WARMING_EVENTS)
  await bench.stopReceiver()
  // in turn, so that a machine that slows down slows all
  for (let round = 0; round < rounds; round += 1) {
    console.error(`into the buffer, round ${round + 1} of ${rounds} ...`)
    embedded.push(await measureIntoBuffer(bench, bytes, null))
    for (const compression of COMPRESSIONS) {
      const before = kafka.cpuSeconds()
      const measured = await measureIntoBuffer(bench, bytes, kafka, compression)
      byCompression[compression].push(measured)
      if (before !== null) ofBroker[compression].push((((kafka.cpuSeconds() ?? before) - before) / measured.events) * 1e6)
    }
  }
  await bench.restartReceiver()
  for (const compression of COMPRESSIONS) {
    const seconds = ofBroker[compression].sort((a, b) => a - b)[Math.floor(rounds / 2)]
    if (seconds === undefined) continue
    console.log(`The broker on the same cores, ${named(compression)}: ${seconds.toFixed(1)} CPU s per million events into it`)
  }
  console.log('')
  const base = median(embedded)
  return [
    row('into the embedded buffer', base, null),
    ...COMPRESSIONS.map((compression) => row(`into Kafka, ${named(compression)}`, median(byCompression[compression]), base)),
  ]
}

async function delivery(bench: Bench, kafka: KafkaSide, events: number, rounds: number): Promise<string[][]> {
  const rows: string[][] = []
  for (const compression of COMPRESSIONS) {
    const full = { prefix: kafka.prefix(), compression, events }
    console.error(`Kafka to the receiver, ${named(compression)}: filling ...`)
    await kafka.fill(full.prefix, compression, events)
    const bare: Measured[] = []
    const collector: Delivery[] = []
    for (let round = 0; round < rounds; round += 1) {
      console.error(`Kafka to the receiver, ${named(compression)}, round ${round + 1} of ${rounds} ...`)
      bare.push(await measureBareLoop(bench, kafka, full))
      collector.push(await measureDelivery(bench, kafka, full, `round_${round}`))
    }
    const base = median(bare)
    rows.push(
      row(`bare kafkajs loop, ${named(compression)}`, base, null),
      row(`collector from Kafka, ${named(compression)}`, median(collector), base),
    )
  }
  return rows
}

async function backlog(bench: Bench, kafka: KafkaSide, events: number, seconds: number): Promise<void> {
  const full = { prefix: kafka.prefix(), compression: 'none', events } as const
  console.error(`Kafka: a backlog of ${events} events: filling ...`)
  await kafka.fill(full.prefix, full.compression, events)
  console.error('Kafka: a backlog: draining ...')
  const { eventsPerSecond, memory, secondsToProof } = await measureDelivery(bench, kafka, full, 'devo_1')
  const mb = (value: number): string => value.toFixed(0)
  console.log(
    `\nKafka, a backlog of ${events} events: ${secondsToProof?.toFixed(0) ?? '?'} s to the last proof, ` +
      `${eventsPerSecond.toFixed(0)} events/s; ` +
      `resident memory: first quarter ${mb(memory.firstQuarter)} MB, last quarter ${mb(memory.lastQuarter)} MB, peak ${mb(memory.peak)} MB`,
  )
  console.error('Kafka: the same once more, as a replay ...')
  const replayed = await measureReplay(bench, events)
  console.log(
    `Kafka, a replay of them: ${replayed.eventsPerSecond.toFixed(0)} events/s, ${(replayed.eventsPerSecond / eventsPerSecond).toFixed(2)} of live delivery, ` +
      `peak ${mb(replayed.peakMb)} MB`,
  )
  const alone = await measureSharing(bench, kafka, full, 1, seconds)
  for (const processes of [1, 2, 4]) {
    console.error(`Kafka: a far endpoint, shared by ${processes} ...`)
    const { eventsPerSecond: rate, cores } = processes === 1 ? alone : await measureSharing(bench, kafka, full, processes, seconds)
    console.log(
      `Kafka, an endpoint that is far away, ${processes} process${processes === 1 ? '' : 'es'}: ${rate.toFixed(0)} events/s, ` +
        `${(rate / alone.eventsPerSecond).toFixed(2)} of one, ${cores.toFixed(2)} cores`,
    )
  }
}

function named(compression: Compression): string {
  return compression === 'none' ? 'uncompressed' : compression
}
