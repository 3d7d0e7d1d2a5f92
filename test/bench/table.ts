import type { Measured } from './window.ts'

export const HEAD = ['case', 'events', 'events/s', 'ratio', 's to last proof', 'CPU s per million', 'peak MB'] as const

/** The run of middle speed. */
export function median<Run extends Measured>(runs: readonly Run[]): Run {
  const sorted = [...runs].sort((a, b) => a.eventsPerSecond - b.eventsPerSecond)
  const middle = sorted[Math.floor(sorted.length / 2)]
  if (middle === undefined) throw new Error('no run')
  return middle
}

/** `base`: what the ratio is to. */
export function row(name: string, measured: Measured, base: Measured | null): string[] {
  const { events, eventsPerSecond, secondsToProof, cpuSecondsPerMillion, peakMb } = measured
  return [
    name,
    String(events),
    Math.round(eventsPerSecond).toString(),
    base === null ? '' : (eventsPerSecond / base.eventsPerSecond).toFixed(2),
    secondsToProof?.toFixed(1) ?? '',
    cpuSecondsPerMillion.toFixed(1),
    peakMb.toFixed(0),
  ]
}

export function print(head: readonly string[], lines: readonly (readonly string[])[]): void {
  console.log(`| ${head.join(' | ')} |`)
  console.log(`|${head.map(() => '---').join('|')}|`)
  for (const line of lines) console.log(`| ${line.join(' | ')} |`)
}
