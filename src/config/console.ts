import type { ConsoleConfig } from '../sinks/console/sink.ts'
import { read, type Component, type Context } from './component.ts'
import type { Node } from './node.ts'
import { OLD_CONSOLE } from './old-keys.ts'

export const CONSOLE: Component<{ readonly format: string }> = {
  schema: { format: { doc: 'how an event is written: line, as Devo gets it, or ndjson, its JSON alone', format: 'tap_choice', options: ['line', 'ndjson'], default: 'line' } },
  old: OLD_CONSOLE,
}

export function readConsole(node: Node | undefined, path: string, context: Context): ConsoleConfig {
  return { format: read(CONSOLE, node, path, context).values.format === 'ndjson' ? 'ndjson' : 'line' }
}
