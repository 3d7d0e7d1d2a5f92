import { combine } from '../sources/proofpoint-tap/combining.ts'
import type { TapInputConfig, TapServiceConfig } from '../sources/proofpoint-tap/config.ts'
import { asksForWindows } from '../sources/proofpoint-tap/services.ts'
import { checkAuthorities } from './certificates.ts'
import { fileOf } from './certificate-files.ts'
import { isSwitchedOff, join, namedEntries, read, type Component, type Context, type Section } from './component.ts'
import { readLimits } from './limits.ts'
import { masked } from './masked.ts'
import { isLeftOut, showText, type Node } from './node.ts'
import { nearest } from './nearest.ts'
import { OLD_INPUT } from './old-keys.ts'
import type { Report } from './report.ts'
import { readServices } from './services.ts'

export const TYPES = ['proofpoint_tap']
const SHORTEST_ID = 5
const LOOPBACK = /^(?:localhost|.+\.localhost|127(?:\.\d{1,3}){3}|\[::1\])$/

interface InputValues {
  readonly type: string | null
  readonly id: string
  readonly enabled: boolean
  readonly base_url: string
  readonly environment: string | null
  readonly endpoint_mode: TapInputConfig['endpointMode']
}

export const INPUT: Component<InputValues> = {
  schema: {
    type: { doc: 'the kind of input, proofpoint_tap; left out: the name of the input', format: 'tap_text', default: null, nullable: true },
    id: {
      doc: `a number or text of your own, at least ${SHORTEST_ID} characters, another one for each input`,
      format: 'tap_text',
      default: null,
      check: checkId,
    },
    enabled: { doc: 'false: the input does not run; its state stays', format: 'tap_yes_or_no', default: true },
    base_url: { doc: 'the address of the TAP API; plain http only to this machine', format: 'tap_text', default: 'https://tap-api-v2.proofpoint.com', check: checkUrl },
    environment: { doc: 'what is sent with each event as @devo_environment; left out: nothing', format: 'tap_text', default: null, nullable: true },
    endpoint_mode: { doc: 'how the API is asked: separate, each service by itself; combined, one request to /v2/siem/all for services with the same periods, which saves quota; auto, combined where separate requests do not fit the quota', format: 'tap_choice', options: ['separate', 'combined', 'auto'], default: 'separate' },
  },
  parts: ['credentials', 'requests_limits', 'services', 'tls'],
  old: OLD_INPUT,
}

interface CredentialValues {
  readonly username: string
  readonly password: string
}

export const CREDENTIALS: Component<CredentialValues> = {
  schema: {
    username: { doc: 'the service principal of the TAP API', format: 'tap_text', default: null, sensitive: true, check: checkUsername },
    password: { doc: 'the secret of the service principal', format: 'tap_text', default: null, sensitive: true, check: checkPassword },
  },
}

export const TLS: Component<{ readonly ca: string | null }> = {
  schema: { ca: { doc: 'a file in certs/ with authorities that count beside those of Node, where a proxy opens TLS', format: 'tap_text', default: null, nullable: true } },
}

/** All inputs that are on. */
export function readInputs(node: Node | undefined, context: Context): readonly TapInputConfig[] {
  const path = 'inputs'
  const { report } = context
  const entries = namedEntries(node, path, context)
  const inputs = entries
    .filter(([name, entry]) => !isSwitchedOff(INPUT, entry, join(path, name), context))
    .map(([name, entry]) => readInput(name, entry, join(path, name), context))
  if ((isLeftOut(node) && !report.isExplained(path)) || (node?.kind === 'map' && inputs.length === 0)) {
    report.problem(
      path,
      entries.length === 0 ? 'is missing: at least one input is needed' : 'all inputs have enabled: false; at least one must be on',
    )
  }
  const owners = new Map<string, string>()
  for (const { id, name } of inputs) {
    const owner = owners.get(id)
    if (owner !== undefined)
      report.problem(join(join(path, name), 'id'), `must differ from the id of inputs.${owner}, whose state it would share`, showText(id))
    else if (id !== '') owners.set(id, name)
  }
  return inputs
}

function readInput(name: string, node: Node, path: string, context: Context): TapInputConfig {
  const { report } = context
  const section = read(INPUT, node, path, context)
  const { values } = section
  if (node.kind === 'map') checkType(section, name, path, context)
  // What stands in an entry that is no mapping was reported as a whole.
  const credentials = node.kind === 'map' ? read(CREDENTIALS, section.part('credentials'), join(path, 'credentials'), context).values : null
  const requestsLimits = readLimits(section.part('requests_limits'), join(path, 'requests_limits'), context)
  const services = node.kind === 'map' ? readServices(section.part('services'), join(path, 'services'), context) : []
  if (values.endpoint_mode === 'combined') checkCombined(services, path, report)
  return masked(
    {
      name,
      id: section.given('id') ? values.id : '',
      username: credentials?.username ?? '',
      password: credentials?.password ?? '',
      baseUrl: new URL(values.base_url).href.replace(/\/+$/, ''),
      environment: values.environment,
      requestsLimits,
      endpointMode: values.endpoint_mode,
      services,
      ca: readAuthorities(section.part('tls'), join(path, 'tls'), context),
    },
    ['username', 'password'],
  )
}

/** Services that cannot share their requests are not refused, but whoever asked for it should know. */
function checkCombined(services: readonly TapServiceConfig[], path: string, report: Report): void {
  const alone = combine(services.filter(asksForWindows)).filter((group) => group.length === 1).flat()
  if (alone.length === 0) return
  const names = alone.map(({ name }) => name).join(', ')
  report.warning(
    join(path, 'endpoint_mode'),
    `combined serves services with the same periods, look-back and threat filters by one request; ${names} ${alone.length === 1 ? 'has' : 'have'} no such companion and will be asked for separately`,
  )
}

/** The name of an input is its type where it has none of its own. */
function checkType(section: Section<InputValues>, name: string, path: string, { report }: Context): void {
  const { type } = section.values
  const at = join(path, 'type')
  if (TYPES.includes(type ?? name) || report.isExplained(at)) return
  const near = nearest(type ?? name, TYPES)
  const known = TYPES.join(' or ')
  if (type !== null) report.problem(at, `must be ${known}${near === null ? '' : ` (did you mean ${near}?)`}`, section.shown('type'))
  else report.problem(at, `is missing, and the name of the input is no type that could stand in for it; add type: ${near ?? known}`)
}

function readAuthorities(node: Node | undefined, path: string, context: Context): string | null {
  const section = read(TLS, node, path, context)
  const { ca } = section.values
  if (ca === null || !section.given('ca')) return null
  const named = fileOf(ca, join(path, 'ca'), section.foreign('ca'), context.root)
  if (context.checkCertificates) checkAuthorities(named, context.report, context.now)
  return named.file
}

function checkId(id: string): string | null {
  return id.trim().length >= SHORTEST_ID ? null : `must have at least ${SHORTEST_ID} characters`
}

function checkUrl(text: string): string | null {
  const expected = 'must be an address such as https://tap-api-v2.proofpoint.com'
  if (!URL.canParse(text)) return expected
  const url = new URL(text)
  if (url.username !== '' || url.password !== '') return `${expected}, without a login in it; that belongs under credentials`
  if (url.search !== '' || url.hash !== '') return `${expected}, without ? and #`
  if (url.protocol === 'https:') return null
  if (url.protocol !== 'http:') return expected
  return LOOPBACK.test(url.hostname)
    ? null
    : 'must begin with https://; plain http would show the password to everybody on the way (it is allowed to a loopback address only)'
}

const CONTROL = /[\u0000-\u001f\u007f]/

function checkUsername(username: string): string | null {
  if (username.includes(':')) return 'must not hold a colon'
  return checkPassword(username)
}

function checkPassword(password: string): string | null {
  return CONTROL.test(password) ? 'must not hold line breaks or other control characters' : null
}
