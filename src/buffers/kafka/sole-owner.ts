import type { Assignment, GroupMember } from '../../kafka/group-member.ts'

/** That this process has the one partition of a group's topic; all others of the group have none. */
export interface SoleOwnership {
  /** Aborts when another has it, or may. */
  readonly over: AbortController
  /** Stops keeping it, and does not leave the group. Safe at any time, also twice. */
  release(): Promise<void>
}

/** Keeps it while others come and go: a change of the group is no reason to stop, for whoever joins again keeps what it had. */
export function keepOwning(member: GroupMember, first: Assignment, closed: AbortSignal): SoleOwnership {
  const over = new AbortController()
  const released = new AbortController()
  const keep = async (): Promise<void> => {
    let assignment = first
    try {
      while (assignment.partitions.length > 0) {
        await ended(AbortSignal.any([assignment.ending, released.signal, over.signal]))
        if (released.signal.aborted || over.signal.aborted) return
        assignment.lost.throwIfAborted()
        assignment = await member.join(AbortSignal.any([released.signal, closed]))
      }
      over.abort(new Error('it was given to another process'))
    } catch (error) {
      over.abort(error)
    }
  }
  const keeping = keep()
  return {
    over,
    release: async () => {
      released.abort(new Error('released'))
      await keeping
    },
  }
}

export function ended(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
