import { stripVTControlCharacters } from 'node:util'

const CHARACTER = { width: 7.8, height: 18 }
const MARGIN = 16
/** What the log's colours are called here: SGR 33 is a warning, 31 an error. */
const CLASSES: Readonly<Record<string, string>> = { 33: 'warn', 31: 'error' }

/**
 * What was typed and what came, as a picture that follows the reader's light or dark. `output` may hold colours; a line that is longer than `columns` goes
 * on in the next, as on a terminal.
 */
export function terminalSvg(typed: readonly { readonly command: string; readonly output: string }[], columns: number): string {
  const lines = typed.flatMap(({ command, output }, index) => [
    ...(index > 0 ? [{ kind: '', text: '' }] : []),
    { kind: 'typed', text: `$ ${command}` },
    ...output.trimEnd().split('\n').flatMap((line) => wrapped(line, columns)),
  ])
  const width = Math.ceil(2 * MARGIN + columns * CHARACTER.width)
  const height = 2 * MARGIN + lines.length * CHARACTER.height
  const texts = lines.map(({ kind, text }, row) => `  <text${kind === '' ? '' : ` class="${kind}"`} x="${MARGIN}" y="${MARGIN + 13 + row * CHARACTER.height}">${escaped(text)}</text>`)
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="13" role="img" aria-labelledby="title">
  <title id="title">A terminal: ${escaped(typed.map(({ command }) => command).join('; '))}</title>
  <style>
    text { fill: #1a202c; white-space: pre }
    .screen { fill: #f7fafc; stroke: #cbd5e0 }
    .typed { font-weight: bold; fill: #2b5fb0 }
    .warn { fill: #8a5a00 }
    .error { fill: #b3261e }
    @media (prefers-color-scheme: dark) {
      text { fill: #e2e8f0 }
      .screen { fill: #12161c; stroke: #4a5568 }
      .typed { fill: #7fb0ff }
      .warn { fill: #f0c060 }
      .error { fill: #ff8a80 }
    }
  </style>
  <rect class="screen" x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="8"/>
${texts.join('\n')}
</svg>
`
}

function wrapped(line: string, columns: number): readonly { readonly kind: string; readonly text: string }[] {
  const kind = CLASSES[/^\x1b\[(\d+)m/.exec(line)?.[1] ?? ''] ?? ''
  const text = stripVTControlCharacters(line).trimEnd()
  return Array.from({ length: Math.max(1, Math.ceil(text.length / columns)) }, (_, part) => ({ kind, text: text.slice(part * columns, (part + 1) * columns) }))
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}
