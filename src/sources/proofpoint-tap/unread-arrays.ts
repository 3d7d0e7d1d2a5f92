import type { ReadElsewhere } from '../../pipeline/source.ts'
import type { Window } from '../../pipeline/unit.ts'
import type { TapServiceName } from './config.ts'
import { TAP_SERVICES } from './services.ts'

/** Which of its arrays a service has to read of a window: those of which others have not read all of it, who have forgotten its fingerprints. */
export function unreadArrays(name: TapServiceName, { from, to }: Window, elsewhere: readonly ReadElsewhere[]): readonly string[] {
  const { arrays } = TAP_SERVICES[name]
  const isRead = (array: string): boolean =>
    elsewhere.some(({ kinds, settled, holes }) => kinds.includes(array) && to <= settled && !holes.some((hole) => hole.from <= to && hole.to >= from))
  const unread = arrays.filter((array) => !isRead(array))
  return unread.length > 0 ? unread : arrays
}
