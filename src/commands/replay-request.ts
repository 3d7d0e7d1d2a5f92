import { createHash } from 'node:crypto'
import type { CollectorConfig, OutputConfig } from '../config/types.ts'
import { ConfigurationError, type Problem } from '../pipeline/errors.ts'
import type { ReplaySelection } from '../pipeline/replay.ts'
import type { PulledBetween } from '../pipeline/replay-store.ts'
import { eventTime } from '../sources/proofpoint-tap/event-time.ts'
import { TAP_SERVICES } from '../sources/proofpoint-tap/services.ts'
import { subsetOf } from './components.ts'
import type { ConfigOption } from './load.ts'

/** As the command line has them; times in epoch milliseconds. */
export interface ReplayOptions extends ConfigOption {
  readonly from: number
  readonly to: number
  readonly service: readonly string[]
  readonly output: readonly string[]
  readonly by: 'pull-time' | 'event-time'
  readonly rate?: number
  readonly resume?: string
  readonly dryRun?: true
}

export interface ReplayRequest {
  readonly outputs: readonly OutputConfig[]
  readonly selection: ReplaySelection
  /** Where what is selected may lie. */
  readonly pulled: PulledBetween
  /** What is asked for, always the same text for the same: a replay goes on with no other. */
  readonly text: string
}

const TEXT_CHARACTERS = 500
const EVER: PulledBetween = { from: -Infinity, to: Infinity }

/** Throws ConfigurationError with all that is wrong. */
export function readRequest(options: ReplayOptions, config: CollectorConfig, now: number): ReplayRequest {
  const { from, to, by, service: services } = options
  const known = config.outputs.map(({ name }) => name)
  const problems: Problem[] = [
    ...options.output
      .filter((name) => !known.includes(name))
      .map((value) => ({ path: '--output', message: `expected one that is configured and on: ${known.join(', ')}`, value })),
    ...services.filter((name) => !isService(name, config)).map((value) => ({ path: '--service', message: `expected one of ${serviceNames(config).join(', ')}`, value })),
  ]
  if (from >= to) problems.push({ path: '--to', message: `must be later than --from, ${iso(from)}`, value: iso(to) })
  else if (from > now) problems.push({ path: '--from', message: 'lies in the future: what is not in the buffer yet cannot be sent again', value: iso(from) })
  if (options.resume !== undefined && options.dryRun === true) problems.push({ path: '--dry-run', message: 'does not go with --resume: it counts the whole' })
  if (problems.length > 0) throw new ConfigurationError(problems, { code: 'UsageError' })

  const isNamed = services.length === 0 ? () => true : subsetOf(services, config)
  const isInside = (time: number): boolean => time >= from && time < to
  const outputs = options.output.length === 0 ? config.outputs : config.outputs.filter(({ name }) => options.output.includes(name))
  const isByPull = by === 'pull-time'
  return {
    outputs,
    pulled: isByPull ? { from, to } : EVER,
    selection: {
      isWanted: ({ inputId, service, pulledAt }) => isNamed(inputId, service) && (!isByPull || isInside(pulledAt)),
      // One that tells no time has that of its pull: no event is left out in silence.
      isInTime: isByPull ? null : (event, { pulledAt }) => isInside(eventTime(event) ?? pulledAt),
    },
    text: shortened(`${span(options)} --by ${by}${listed('--service', services)}${listed('--output', outputs.map(({ name }) => name))}`),
  }
}

/** It is kept with the place of the replay, for which brokers have 4 KiB by default; what makes it another stays. */
function shortened(text: string): string {
  if (text.length <= TEXT_CHARACTERS) return text
  return `${text.slice(0, TEXT_CHARACTERS)}... (SHA-256 of the whole: ${createHash('sha256').update(text).digest('hex')})`
}

/** The command that goes on with a replay. */
export function resumeCommand(id: string, options: ReplayOptions): string {
  const { config, by, service, output, rate } = options
  const rest = `${by === 'pull-time' ? '' : ` --by ${by}`}${listed('--service', service)}${listed('--output', output)}${rate === undefined ? '' : ` --rate ${rate}`}`
  return `tap-collector replay --resume ${id} ${span(options)}${rest}${config === undefined ? '' : ` --config ${quoted(config)}`}`
}

export function iso(time: number): string {
  return new Date(time).toISOString().replace('.000Z', 'Z')
}

function span({ from, to }: ReplayOptions): string {
  return `--from ${iso(from)} --to ${iso(to)}`
}

function listed(option: string, names: readonly string[]): string {
  return [...new Set(names)].sort().map((name) => ` ${option} ${quoted(name)}`).join('')
}

/** As a shell takes it for one word. */
function quoted(word: string): string {
  return /^[\w./:@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
}

/** Also one that is no longer configured: its events may still be there. */
function isService(name: string, { inputs }: CollectorConfig): boolean {
  const at = name.lastIndexOf('/')
  return Object.hasOwn(TAP_SERVICES, name.slice(at + 1)) && (at === -1 || inputs.some((input) => input.name === name.slice(0, at)))
}

function serviceNames({ inputs }: CollectorConfig): string[] {
  const services = Object.keys(TAP_SERVICES)
  return [...services, ...(inputs.length > 1 ? inputs.flatMap((input) => services.map((service) => `${input.name}/${service}`)) : [])]
}
