import { Refusal } from './tap-api.ts'
import type { TapEvent } from './tap-store.ts'

const STATUSES = ['active', 'cleared', 'falsePositive']
const TYPES = ['url', 'attachment', 'messageText']

/** Reads the repeatable parameters threatStatus and threatType. Left out, false positives are not shown. Throws Refusal (400). */
export function readFilters(parameters: URLSearchParams): (event: TapEvent) => boolean {
  const statuses = readList(parameters, 'threatStatus', STATUSES) ?? ['active', 'cleared']
  const types = readList(parameters, 'threatType', TYPES)
  const wantedStatuses = new Set(statuses.map(plain))
  const wantedTypes = types === null ? null : new Set(types.map(plain))
  return (event) => {
    const seen = threatsOf(event)
    return anyWanted(seen.statuses, wantedStatuses) && (wantedTypes === null || anyWanted(seen.types, wantedTypes))
  }
}

function readList(parameters: URLSearchParams, name: string, known: readonly string[]): string[] | null {
  const values = parameters.getAll(name)
  const wrong = values.find((value) => !known.includes(value))
  if (wrong !== undefined) throw new Refusal(400, `The parameter ${name} is malformed. It is one of ${known.join(', ')}.`)
  return values.length === 0 ? null : values
}

/** An event that names nothing to compare is shown: the API has such ones. */
function anyWanted(seen: readonly string[], wanted: ReadonlySet<string>): boolean {
  return seen.length === 0 || seen.some((value) => wanted.has(plain(value)))
}

/** The API's own spelling varies: `messageText`, `MESSAGE_TEXT`. */
function plain(value: string): string {
  return value.toLowerCase().replaceAll('_', '')
}

function threatsOf({ service, content, threatStatuses, threatTypes }: TapEvent): { readonly statuses: readonly string[]; readonly types: readonly string[] } {
  const isClick = service === 'clicksBlocked' || service === 'clicksPermitted'
  const threats = isClick ? [content] : listOf(memberOf(content, 'threatsInfoMap'))
  return {
    statuses: threatStatuses ?? threats.flatMap((threat) => textOf(memberOf(threat, 'threatStatus'))),
    types: threatTypes ?? (isClick ? ['url'] : threats.flatMap((threat) => textOf(memberOf(threat, 'threatType')))),
  }
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && name in value ? Reflect.get(value, name) : undefined
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

function textOf(value: unknown): string[] {
  return typeof value === 'string' ? [value] : []
}
