import { resolve } from 'node:path'
import type { FileConfig } from '../sinks/file/config.ts'
import { read, type Component, type Context } from './component.ts'
import type { Node } from './node.ts'

interface FileValues {
  readonly path: string
  readonly rotate_bytes: number | null
  readonly gzip: boolean
}

export const FILE: Component<FileValues> = {
  schema: {
    path: { doc: 'the file that events are written to, such as events/tap-%Y-%m-%d.ndjson', format: 'tap_text', default: null, check: checkPath },
    rotate_bytes: {
      doc: 'at how many bytes on the disk a file is followed by the next (tap.1.ndjson, tap.2.ndjson); left out: never',
      format: 'tap_whole_number',
      min: 1,
      max: 1_099_511_627_776,
      default: null,
      nullable: true,
    },
    gzip: { doc: 'true writes gzip; let the name end in .gz', format: 'tap_yes_or_no', default: false },
  },
}

export function readFileOutput(node: Node | undefined, path: string, context: Context): FileConfig {
  const section = read(FILE, node, path, context)
  const { values } = section
  return { path: section.given('path') ? resolve(context.root, values.path) : '', rotateBytes: values.rotate_bytes, gzip: values.gzip }
}

function checkPath(path: string): string | null {
  if (/[/\\]$|(?:^|[/\\])\.{1,2}$/.test(path)) return 'must be the path of a file and not of a folder'
  if (path.includes('\0')) return 'must be a path without NUL'
  const unknown = /%.?/s.exec(path.replace(/%[YmdH%]/g, '_'))?.[0]
  return unknown === undefined ? null : `may hold %Y, %m, %d and %H, and %% for a percent sign, but not ${unknown}`
}
