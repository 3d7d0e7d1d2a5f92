import type { Logger } from 'pino'
import type { EventBuffer } from './buffer.ts'
import { readerKinds, type ReadElsewhere, type Source, type SourceService } from './source.ts'
import type { Hole, Position, ServiceState } from './unit.ts'

export interface BeginningOptions {
  readonly source: Pick<Source, 'inputId' | 'serverTime'>
  readonly service: SourceService
  readonly buffer: EventBuffer
  readonly log: Logger
}

/** Where a service stands, and what others have read of its kinds. */
export interface Beginning {
  readonly state: ServiceState
  readonly elsewhere: readonly ReadElsewhere[]
}

interface Known extends ServiceState {
  readonly name: string
  readonly kinds: readonly string[]
}

/**
 * Loads where a service goes on, or begins it. For each of its kinds that is the furthest mark of those that have ever read the kind, be it the service
 * or one that it replaces: that one has read all before its mark but its holes, which go over. A start time that is new begins anew.
 * The outcome is the same however often it is done and wherever it is broken off.
 */
export async function loadOrStart({ source, service, buffer, log }: BeginningOptions): Promise<Beginning> {
  const { inputId } = source
  const { name, startTime, replaces = [] } = service
  const own = await load(buffer, inputId, service)
  const others = (await Promise.all(replaces.map((other) => load(buffer, inputId, other)))).filter((other) => other !== null)
  const seen = [own, ...others].flatMap((known) => known?.seen ?? [])
  const bases = readerKinds(service).map((kind) => furthest(kind, [own, ...others]))
  const read = bases.filter((base) => base !== null).sort((a, b) => a.settled - b.settled)
  const [lowest] = read
  const isNew = startTime !== null && !(own === null ? others : [own]).some((known) => known.startTime === startTime)
  if (isNew || lowest === undefined || read.length < bases.length) {
    const settled = isNew ? startTime : Math.min(startTime ?? source.serverTime(), lowest?.settled ?? Infinity)
    const from = new Date(settled).toISOString()
    log.info({ service: name }, own === null ? `First start, from ${from}` : `start_time_in_utc_format has changed: starting again from ${from}`)
    if (isNew) await startAnew(buffer, inputId, service, settled)
    else await buffer.startService(inputId, name, settled, startTime)
    const state = { settled, readAt: own?.readAt ?? 0, holes: [], seen: isNew ? [] : seen, startTime }
    return { state, elsewhere: isNew ? [] : others }
  }
  if (own !== null && own.settled >= lowest.settled) return { state: { ...own, seen }, elsewhere: others }
  const { settled, readAt } = lowest
  const holes = inherited(readerKinds(service), [...new Set(read)], [own, ...others])
  log.info({ service: name }, `Goes on from ${new Date(settled).toISOString()}, the mark of ${lowest.name}, which has read its events meanwhile`)
  const began = own === null ? startTime : own.startTime
  // Short of the mark and the holes, so that whoever is killed before all has gone over takes over once more.
  if (own === null) await buffer.startService(inputId, name, Math.min(settled, ...holes.map(({ from }) => from)) - 1, began)
  await move(buffer, inputId, name, { settled, readAt, holes, forgotten: [] })
  return { state: { settled, readAt, holes, seen, startTime: began }, elsewhere: others }
}

/**
 * Begins a service at `settled`, whatever has been read: also what others have read of its kinds since then counts no longer, or at the next start
 * their marks would be the furthest.
 */
export async function startAnew(
  buffer: EventBuffer,
  inputId: string,
  { name, startTime, replaces = [] }: Pick<SourceService, 'name' | 'startTime' | 'replaces'>,
  settled: number,
): Promise<void> {
  for (const other of replaces) {
    const state = await buffer.loadService(inputId, other.name)
    if (state === null) continue
    const forgotten = state.seen.map(({ window }) => window)
    await move(buffer, inputId, other.name, { settled: Math.min(state.settled, settled), readAt: state.readAt, holes: state.holes, forgotten })
  }
  await buffer.startService(inputId, name, settled, startTime)
}

/** Whether the service began at this start time, or where it has never run those that have read each of its kinds. */
export function hasBegunAt(
  service: Pick<SourceService, 'name' | 'kinds' | 'replaces'>,
  startTime: number,
  states: readonly { readonly name: string; readonly startTime: number | null }[],
): boolean {
  const own = states.find(({ name }) => name === service.name)
  if (own !== undefined) return own.startTime === startTime
  const others = (service.replaces ?? []).filter(({ name }) => states.some((state) => state.name === name && state.startTime === startTime))
  return readerKinds(service).every((kind) => others.some((other) => readerKinds(other).includes(kind)))
}

async function load(buffer: EventBuffer, inputId: string, reader: Pick<SourceService, 'name' | 'kinds'>): Promise<Known | null> {
  const state = await buffer.loadService(inputId, reader.name)
  return state === null ? null : { ...state, name: reader.name, kinds: readerKinds(reader) }
}

/** The first of those that are as far. */
function furthest(kind: string, states: readonly (Known | null)[]): Known | null {
  return states.reduce((best, state) => (state?.kinds.includes(kind) === true && state.settled > (best?.settled ?? -Infinity) ? state : best), null)
}

/** The holes of these, where of one of the kinds nobody else has read them, joined where they overlap. */
function inherited(kinds: readonly string[], bases: readonly Known[], states: readonly (Known | null)[]): Hole[] {
  const lacks = (state: Known, hole: Hole): boolean => state.settled < hole.to || state.holes.some(({ from, to }) => from < hole.to && to > hole.from)
  const isOpen = (hole: Hole): boolean => kinds.some((kind) => states.every((state) => state?.kinds.includes(kind) !== true || lacks(state, hole)))
  const open = bases.flatMap(({ holes }) => holes.filter(isOpen)).sort((a, b) => a.from - b.from)
  const joined: Hole[] = []
  for (const hole of open) {
    const last = joined.at(-1)
    if (last === undefined || hole.from >= last.to) joined.push(hole)
    else joined.splice(-1, 1, { ...last, to: Math.max(last.to, hole.to) })
  }
  return joined
}

function move(buffer: EventBuffer, inputId: string, name: string, position: Pick<Position, 'settled' | 'readAt' | 'holes' | 'forgotten'>): Promise<void> {
  const { settled, readAt } = position
  const window = { from: settled, to: settled }
  return buffer.append({ inputId, service: name, pulledAt: readAt, environment: null, window, chunks: [], deadLetters: [], position: { ...position, gaps: [], seen: null } })
}
