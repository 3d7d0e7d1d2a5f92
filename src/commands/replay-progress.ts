import type { Logger } from 'pino'
import type { Clock } from '../pipeline/clock.ts'
import { counted } from '../pipeline/counted.ts'

/** Takes away what the terminal shows in its last line. */
export const CLEAR_LINE = '\r\x1b[K'
const BAR_CHARACTERS = 24
/** Of a terminal that does not tell. */
const COLUMNS = 80
const BAR_EVERY_MS = 250
const LINE_EVERY_MS = 5_000

export interface OutputProgress {
  readonly output: string
  /** 0 to 1, of the part of the buffer that is looked through. */
  readonly fraction: number
  readonly sent: number
  /** Why it waits now, or null. */
  readonly waitsFor: string | null
}

interface ProgressOptions {
  readonly id: string | null
  readonly look: () => readonly OutputProgress[]
  readonly clock: Clock
  readonly log: Logger
}

/** Shows how far a replay is: a bar on a terminal, else a line of the log for each output now and then. The caller owes the returned stop. */
export function showProgress({ id, look, clock, log }: ProgressOptions): () => void {
  const isTerminal = process.stderr.isTTY
  const show = (): void => {
    if (isTerminal) process.stderr.write(CLEAR_LINE + bar(look(), process.stderr.columns || COLUMNS))
    else for (const line of look()) tell(line, id, log)
  }
  let cancel = (): void => undefined
  const next = (): void => {
    cancel = clock.after(isTerminal ? BAR_EVERY_MS : LINE_EVERY_MS, () => {
      show()
      next()
    })
  }
  next()
  return () => {
    cancel()
    if (isTerminal) process.stderr.write(CLEAR_LINE)
  }
}

function tell({ output, fraction, sent, waitsFor }: OutputProgress, id: string | null, log: Logger): void {
  const waits = waitsFor === null ? '' : `; it waits: ${waitsFor}`
  log.info({ ...(id !== null && { replay: id }), output, percent: percent(fraction), sent }, `${percent(fraction)} % replayed to ${output}, ${counted(sent, 'event')} sent${waits}`)
}

/** Of the slowest output, with what each has been sent. */
export function bar(outputs: readonly OutputProgress[], columns: number): string {
  const fraction = Math.min(1, ...outputs.map((output) => output.fraction))
  const full = Math.floor(fraction * BAR_CHARACTERS)
  const parts = outputs.map(({ output, sent, waitsFor }) => `${output} ${sent} sent${waitsFor === null ? '' : ` (waits: ${waitsFor})`}`)
  const line = `[${'#'.repeat(full)}${'.'.repeat(BAR_CHARACTERS - full)}] ${String(percent(fraction)).padStart(3)} %  ${parts.join('  ')}`
  // A line that wraps could not be taken away again, and a reason may hold a remote's text.
  return line.replace(/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/gu, ' ').slice(0, Math.max(columns - 1, BAR_CHARACTERS))
}

function percent(fraction: number): number {
  return Math.floor(fraction * 100)
}
