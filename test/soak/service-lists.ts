import { TAP_ARRAYS, type TapArray } from '../../src/simulator/tap-api.ts'
import { Random } from '../../src/simulator/tap-random.ts'
import type { TapServiceName } from '../../src/sources/proofpoint-tap/config.ts'
import { TAP_SERVICES } from '../../src/sources/proofpoint-tap/services.ts'
import type { Fault } from './plan.ts'

/** What an operator has in the configuration between two starts. */
export type ServiceList = readonly TapServiceName[]

const PARTS = ['clicksPermitted', 'messagesDelivered'] as const

/** The kinds that these lists bring between them, threats apart. */
export function arraysOf(lists: readonly ServiceList[]): readonly TapArray[] {
  const kinds = new Set<string>(lists.flat().flatMap((name) => TAP_SERVICES[name].arrays))
  return TAP_ARRAYS.filter((array) => kinds.has(array))
}

/** All lists of a plan in the order in which they come. */
export function listsOf({ services, faults }: { readonly services: ServiceList; readonly faults: readonly Fault[] }): readonly ServiceList[] {
  return [services, ...faults.flatMap((fault) => ('services' in fault ? [fault.services] : []))]
}

/** The last list with whatever else has run before: at the end all is taken up where it was left. */
export function completeList(lists: readonly ServiceList[]): ServiceList {
  const last = lists.at(-1) ?? []
  const lacking = arraysOf(lists).filter((array) => !arraysOf([last]).includes(array))
  return [...last, ...lacking]
}

/**
 * The two newer services, and starts with another list than before: one more, one fewer, `issues` for the two that bring the same and back, or the input
 * under another id. `mayChange`: all events are young enough for a start at the first one's time.
 */
export function drawLists(seed: number, arrays: readonly TapArray[], faults: readonly Fault[], mayChange: boolean): { readonly services: ServiceList; readonly faults: readonly Fault[] } {
  const random = new Random(seed, 'services')
  const [hasIssues, hasThreats, isChanging, changesId] = [random.chance(0.3), random.chance(0.25), random.chance(0.5), random.chance(0.2)]
  const separate: ServiceList = [...arrays, ...(hasThreats ? ['threats' as const] : [])]
  const services = hasIssues ? joined(separate) : separate
  if (!isChanging || !mayChange) return { services, faults }
  let list = services
  let ids = 0
  return {
    services,
    faults: faults.map((fault) => {
      if ((fault.kind !== 'kill' && fault.kind !== 'stop') || !random.chance(0.7)) return fault
      list = changed(list, random)
      const isNew = changesId && !hasThreats && ids === 0 && random.chance(0.5)
      if (isNew) ids += 1
      return { ...fault, services: list, ...(isNew && { newId: true }) }
    }),
  }
}

function changed(list: ServiceList, random: Random): ServiceList {
  const kind = random.below(4)
  if (kind < 2 && list.includes('issues')) return random.chance(0.7) ? parted(list, PARTS) : parted(list, [random.pick(PARTS)])
  if (kind < 2 && PARTS.some((part) => list.includes(part))) return joined(list)
  const taken = arraysOf([list])
  const free = random.shuffled(TAP_ARRAYS.filter((array) => !taken.includes(array)))
  const leading = list.filter((name) => name !== 'threats')
  if (kind === 2 && leading.length > 1) {
    const gone = random.shuffled(leading)[0]
    return list.filter((name) => name !== gone)
  }
  return [...list, ...free.slice(0, 1)]
}

function joined(list: ServiceList): ServiceList {
  const others = list.filter((name) => !PARTS.some((part) => part === name))
  return others.length === list.length ? list : ['issues', ...others]
}

function parted(list: ServiceList, parts: ServiceList): ServiceList {
  return [...parts, ...list.filter((name) => name !== 'issues')]
}
