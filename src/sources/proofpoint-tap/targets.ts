import type { TapInputConfig, TapServiceConfig } from './config.ts'
import { SHARED_ENDPOINT, TAP_SERVICES, type PoolName } from './services.ts'

/** Where a request goes, and for whom. */
export interface RequestTarget {
  /** How the pool knows who asks. */
  readonly member: string
  /** Below the base URL. */
  readonly endpoint: string
  readonly pool: PoolName
  readonly services: readonly TapServiceConfig[]
}

/** A service's own endpoint. */
export function ownTarget({ name: input }: TapInputConfig, service: TapServiceConfig): RequestTarget {
  const { endpoint, pool } = TAP_SERVICES[service.name]
  return { member: `${input}/${service.name}`, endpoint, pool, services: [service] }
}

/** By what name a service reads the buffer's events that follows them; the state belongs to the input's id. */
export function feedName({ id }: TapInputConfig, { name }: Pick<TapServiceConfig, 'name'>): string {
  return `${id}/${name}`
}

/** What one threat is, for a service that asks so. */
export function threatTarget(input: TapInputConfig, service: TapServiceConfig, id: string): RequestTarget {
  const target = ownTarget(input, service)
  return { ...target, endpoint: `${target.endpoint}/${encodeURIComponent(id)}` }
}

/** The endpoint for all services; they must have the same filters. One service alone has its own. Whoever comes first, they stand as in the configuration. */
export function targetOf(input: TapInputConfig, services: readonly TapServiceConfig[]): RequestTarget {
  const places = input.services.map(({ name }) => name)
  const sorted = services.toSorted((a, b) => places.indexOf(a.name) - places.indexOf(b.name))
  const [first, second] = sorted
  if (first === undefined) throw new Error('a request for no service')
  if (second === undefined) return ownTarget(input, first)
  return { member: `${input.name}/${sorted.map(({ name }) => name).join('+')}`, ...SHARED_ENDPOINT, services: sorted }
}
