import { stripVTControlCharacters } from 'node:util'

const COLOURS: Readonly<Record<string, string>> = { debug: '\x1b[2m', info: '', warn: '\x1b[33m', error: '\x1b[31m', fatal: '\x1b[31m' }

/** One log line for a terminal: `12:00:00.123 WARN  message  key=value`. What is no JSON comes back as it is. */
export function prettyLine(line: string): string {
  let entry: Record<string, unknown>
  try {
    const parsed: unknown = JSON.parse(line)
    if (typeof parsed !== 'object' || parsed === null) return line
    entry = { ...parsed }
  } catch {
    return line
  }
  const { time, level, msg, err, ...rest } = entry
  const colour = COLOURS[String(level)] ?? ''
  const details = Object.entries(rest).map(([key, value]) => `  ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
  if (typeof err === 'object' && err !== null && 'stack' in err) details.push(`\n${String(err.stack)}`)
  const text = `${String(time).slice(11, 23)} ${String(level).toUpperCase().padEnd(5)} ${String(msg)}${details.join('')}`
  // A remote text must not drive the operator's terminal.
  return `${colour}${stripVTControlCharacters(text).replaceAll('\r', '\\r')}${colour === '' ? '' : '\x1b[0m'}\n`
}
