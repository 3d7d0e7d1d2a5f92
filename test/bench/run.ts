/**
 * `npm run bench [-- quick] [embedded | kafka]`: what the collector costs, beside the loop that one would write first, in one run on one
 * machine. Absolute figures drift from machine to machine; the ratios hold better. The cases of the Kafka buffer take the brokers of
 * KAFKA_BROKERS, or one of their own.
 */
import { cpus } from 'node:os'
import { measureBacklog } from './backlog.ts'
import { Bench } from './bench.ts'
import { measureCatchUp } from './catch-up.ts'
import { measureIdle } from './idle.ts'
import { measureReplay } from './replay.ts'
import { runKafkaCases } from './kafka/cases.ts'
import { KafkaSide } from './kafka/side.ts'
import { HEAD, median, print, row } from './table.ts'
import { measureCollector, measureNaive, type Measured } from './window.ts'

const quick = process.argv.includes('quick')
const only = ['embedded', 'kafka'].find((part) => process.argv.includes(part))
const MB = 1e6
const sizes = quick ? [10, 100] : [10, 100, 300]
const rounds = quick ? 1 : 3

const [cpu] = cpus()
console.log(`${cpus().length} cores (${cpu?.model.trim() ?? 'unknown'}), Node ${process.versions.node}; medians of ${rounds}\n`)
const bench = await Bench.start()
try {
  if (only !== 'kafka') await runEmbedded()
  if (only !== 'embedded') await runKafka()
} finally {
  await bench.close()
}

async function runEmbedded(): Promise<void> {
  const rows: string[][] = []
  for (const size of sizes) {
    const naive: Measured[] = []
    const collector: Measured[] = []
    // in turn, so that a machine that slows down slows both
    for (let round = 0; round < rounds; round += 1) {
      console.error(`${size} MB, round ${round + 1} of ${rounds} ...`)
      naive.push(await measureNaive(bench, size * MB))
      collector.push(await measureCollector(bench, size * MB))
    }
    const base = median(naive)
    rows.push(row(`naive loop, ${size} MB`, base, null), row(`collector, ${size} MB`, median(collector), base))
  }
  console.error('a full buffer ...')
  const backlog = await measureBacklog(bench, (quick ? 100 : 300) * MB)
  rows.push(row('collector, a full buffer', backlog, null), row('replay, the same buffer', await measureReplay(bench, backlog.events), backlog))
  print(HEAD, rows)
  console.error('start and idle ...')
  console.log(`\n${await measureIdle(quick ? 10 : 30)}`)
  console.error('catch-up ...')
  console.log(`${await measureCatchUp(quick ? 20_000 : 200_000)}\n`)
}

async function runKafka(): Promise<void> {
  console.error('Kafka: starting a broker ...')
  const kafka = await KafkaSide.start()
  if (kafka === null) {
    console.log('The cases of the Kafka buffer are left out: no broker. KAFKA_BROKERS names one; Java 17 and Maven bring one.')
    return
  }
  try {
    await runKafkaCases(bench, kafka, quick)
  } finally {
    await kafka.close()
  }
}
