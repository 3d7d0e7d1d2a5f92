import type { Pull } from './event.ts'

const OPEN = 0x7b
const CLOSE = 0x7d
const PULLING_ID = '@devo_pulling_id'

/**
 * What is put before the closing brace of an event on its way out: `"@devo_pulling_id"` and, where set, `"@devo_environment"`.
 * Made once for each batch; `wireTail(pull).with(event)` tells where the event's own bytes end.
 */
export interface WireTail {
  /** For an event with members: `,"@devo_pulling_id":"1","@devo_environment":"prod"}`. */
  readonly afterMembers: Buffer
  /** For `{}`. */
  readonly afterOpen: Buffer
  /** For an event that brings its own pull id: the environment alone, or just the brace. */
  readonly afterOwnId: Buffer
}

export function wireTail({ pulledAt, environment }: Pick<Pull, 'pulledAt' | 'environment'>): WireTail {
  const id = `"${PULLING_ID}":"${pulledAt}"`
  const environmentMember = environment === null ? '' : `"@devo_environment":${JSON.stringify(environment)}`
  const both = environmentMember === '' ? id : `${id},${environmentMember}`
  return {
    afterMembers: Buffer.from(`,${both}}`),
    afterOpen: Buffer.from(`${both}}`),
    afterOwnId: Buffer.from(environmentMember === '' ? '}' : `,${environmentMember}}`),
  }
}

/** The tail for one event: the event's bytes without their last one, followed by this, are what goes on the wire. */
export function tailFor(event: Uint8Array, tail: WireTail): Buffer {
  if (event.length === 2 && event[0] === OPEN && event[1] === CLOSE) return tail.afterOpen
  return hasOwnPullingId(event) ? tail.afterOwnId : tail.afterMembers
}

/** True where the event has a top-level `@devo_pulling_id` of its own. The search spares nearly every event the parsing. */
function hasOwnPullingId(event: Uint8Array): boolean {
  const bytes = Buffer.from(event.buffer, event.byteOffset, event.byteLength)
  if (!bytes.includes(PULLING_ID)) return false
  const parsed: unknown = JSON.parse(bytes.toString())
  return typeof parsed === 'object' && parsed !== null && Object.hasOwn(parsed, PULLING_ID)
}
