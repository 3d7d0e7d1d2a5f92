import { resolve } from 'node:path'
import { join, read, type Component, type Context, type Section } from './component.ts'
import type { Node } from './node.ts'
import { OLD_GLOBALS } from './old-keys.ts'
import type { CollectorConfig, HttpConfig } from './types.ts'

interface GlobalValues {
  readonly debug: boolean
  readonly id: string
  readonly name: string
  readonly internal_events: boolean
}

export const GLOBALS: Component<GlobalValues> = {
  schema: {
    debug: { doc: 'true logs more: every window read, failures that repeat, stacks; never events', format: 'tap_yes_or_no', default: false },
    id: { doc: 'an id of your own, kept for old files; it does nothing', format: 'tap_text', default: 'not_used' },
    name: { doc: 'the name of this collector in its log: letters, digits, - and _', format: 'tap_text', default: 'proofpoint_tap_collector', check: checkName },
    internal_events: { doc: 'true sends the own log of the collector, from INFO on and without secrets, to each output to Devo: devo.collectors.out.local', format: 'tap_yes_or_no', default: false },
  },
  parts: ['persistence', 'http'],
  old: OLD_GLOBALS,
}

/** The types of the old collector. Whatever it was, the state is kept on disk here: a restart must not lose a position. */
const PERSISTENCE_TYPES = ['filesystem', 'memory', 'redis', 'mysql', 'mongodb', 'dbm']

interface PersistenceValues {
  readonly type: string
}

export const PERSISTENCE: Component<PersistenceValues> = {
  schema: { type: { doc: 'always filesystem: the state is kept in a folder; the other types of the old collector are a warning', format: 'tap_choice', options: PERSISTENCE_TYPES, default: 'filesystem' } },
  parts: ['config'],
}

export const DIRECTORY: Component<{ readonly directory_name: string }> = {
  schema: { directory_name: { doc: 'the folder of buffer and state, below the one that holds config/; on a local disk', format: 'tap_text', default: 'state' } },
  aliases: { dir: 'directory_name' },
}

interface HttpValues {
  readonly enabled: boolean
  readonly host: string
  readonly port: number
  readonly token: string | null
}

/** An image sets this variable, for in a container the loopback address reaches nobody. */
const HOST_VARIABLE = 'TAP_COLLECTOR_HTTP_HOST'

export type GlobalConfig = Pick<CollectorConfig, 'name' | 'id' | 'debug' | 'internalEvents' | 'stateDir' | 'http'>

export function readGlobals(node: Node | undefined, context: Context): GlobalConfig {
  const path = 'globals'
  const section = read(GLOBALS, node, path, context)
  const { debug, id, internal_events: internalEvents } = section.values
  return {
    debug,
    id,
    internalEvents,
    name: fixName(section, join(path, 'name'), context),
    stateDir: readStateDir(section.part('persistence'), join(path, 'persistence'), context),
    http: readHttp(section.part('http'), join(path, 'http'), context),
  }
}

function checkName(name: string): string | null {
  return /^[0-9a-zA-Z_-]+$/.test(fixedName(name)) ? null : 'must consist of letters, digits, - and _'
}

/** The old collector makes an underscore of these too. */
function fixedName(name: string): string {
  return name.replaceAll(/[.# ]/g, '_')
}

function fixName(section: Section<GlobalValues>, path: string, { report }: Context): string {
  const { name } = section.values
  const fixed = fixedName(name)
  if (fixed !== name) report.warning(path, 'must consist of letters, digits, - and _; other characters became _', section.shown('name'))
  return fixed
}

function readStateDir(node: Node | undefined, path: string, context: Context): string {
  const section = read(PERSISTENCE, node, path, context)
  const { type } = section.values
  if (type === 'filesystem') {
    return resolve(context.root, read(DIRECTORY, section.part('config'), join(path, 'config'), context).values.directory_name)
  }
  const stateDir = resolve(context.root, DIRECTORY.schema.directory_name.default ?? 'state')
  if (section.given('type')) {
    context.report.warning(
      join(path, 'type'),
      `is not kept by this collector, which always keeps its state on disk so that a restart loses nothing; it uses ${stateDir}`,
      section.shown('type'),
    )
  }
  return stateDir
}

function readHttp(node: Node | undefined, path: string, context: Context): HttpConfig {
  const host = context.env[HOST_VARIABLE]
  const section = read(httpComponent(host === undefined || host === '' ? '127.0.0.1' : host), node, path, context)
  return { ...section.values, isHostGiven: section.given('host') }
}

/** `host` is the address to listen on where none is given. */
export function httpComponent(host: string): Component<HttpValues> {
  return {
    schema: {
      enabled: { doc: 'false: no status page, /healthz, /readyz and /metrics', format: 'tap_yes_or_no', default: true },
      host: { doc: 'the address that the status page listens on; beyond the loopback set a token too', format: 'tap_text', default: host, pattern: /^[^\s/]+$/, expected: 'a host name or an IP address' },
      port: { doc: 'the port of the status page; 0 picks a free one and logs it', format: 'tap_whole_number', min: 0, max: 65535, default: 8080 },
      // What else a header cannot carry, or each client writes in its own way.
      token: {
        doc: 'what must be sent as Authorization: Bearer to see the page, the metrics and the reasons of /readyz; left out: nothing',
        format: 'tap_text',
        default: null,
        nullable: true,
        sensitive: true,
        pattern: /^[!-~]([ -~]*[!-~])?$/,
        expected: 'of ASCII letters, digits and signs, with no space at either end, for it comes in a header',
      },
    },
  }
}
