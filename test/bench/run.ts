/**
 * `npm run bench [-- quick]`: what the collector costs, beside the loop that one would write first, in one run on one machine.
 * Absolute figures drift from machine to machine; the ratios hold better.
 */
import { cpus } from 'node:os'
import { measureBacklog } from './backlog.ts'
import { measureIdle } from './idle.ts'
import { Bench, measureCollector, measureNaive, type Measured } from './window.ts'
import { measureCatchUp } from './catch-up.ts'

const quick = process.argv.includes('quick')
const MB = 1e6
const sizes = quick ? [10, 100] : [10, 100, 300]
const rounds = quick ? 1 : 3

const rows: string[][] = []
const bench = await Bench.start()
try {
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
    const own = median(collector)
    rows.push(row(`naive loop, ${size} MB`, base, null), row(`collector, ${size} MB`, own, own.eventsPerSecond / base.eventsPerSecond))
  }
  console.error('a full buffer ...')
  rows.push(row('collector, a full buffer', await measureBacklog(bench, (quick ? 100 : 300) * MB), null))
} finally {
  await bench.close()
}

const [cpu] = cpus()
console.log(`\n${cpus().length} cores (${cpu?.model.trim() ?? 'unknown'}), Node ${process.versions.node}; medians of ${rounds}\n`)
print(['case', 'events', 'events/s', 'to naive', 's to last proof', 'CPU s per million', 'peak MB'], rows)
console.error('start and idle ...')
console.log(`\n${await measureIdle(quick ? 10 : 30)}`)
console.error('catch-up ...')
console.log(await measureCatchUp(quick ? 20_000 : 200_000))

function median(runs: readonly Measured[]): Measured {
  const sorted = [...runs].sort((a, b) => a.eventsPerSecond - b.eventsPerSecond)
  const middle = sorted[Math.floor(sorted.length / 2)]
  if (middle === undefined) throw new Error('no run')
  return middle
}

function row(
  name: string,
  { events, eventsPerSecond, secondsToProof, cpuSecondsPerMillion, peakMb }: Measured,
  ratio: number | null,
): string[] {
  return [
    name,
    String(events),
    Math.round(eventsPerSecond).toString(),
    ratio === null ? '' : ratio.toFixed(2),
    secondsToProof?.toFixed(1) ?? '',
    cpuSecondsPerMillion.toFixed(1),
    peakMb.toFixed(0),
  ]
}

function print(head: readonly string[], lines: readonly (readonly string[])[]): void {
  console.log(`| ${head.join(' | ')} |`)
  console.log(`|${head.map(() => '---').join('|')}|`)
  for (const line of lines) console.log(`| ${line.join(' | ')} |`)
}
