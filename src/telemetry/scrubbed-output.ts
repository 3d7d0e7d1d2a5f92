import type { Reject } from '../pipeline/transform.ts'
import type { Output } from '../pipeline/supervisor.ts'
import type { SecretScrubber } from './secrets.ts'

/** The same output, whose reasons to refuse an event hold no secret: a destination may send back what it was sent, and dead letters stay on the disk. */
export function scrubbedOutput(output: Output, scrubber: SecretScrubber): Output {
  const { sink, transforms } = output
  const scrubbed = (reject: Reject): Reject => (batch, index, reason) => reject(batch, index, scrubber.scrub(reason))
  return {
    ...output,
    transforms: transforms.map((transform) => (batch, reject) => transform(batch, scrubbed(reject))),
    sink: {
      maxShipmentsInFlight: sink.maxShipmentsInFlight,
      ship: ({ signal, reject }) => sink.ship({ signal, reject: scrubbed(reject) }),
      check: async (signal) => sink.check(signal),
      close: async () => sink.close(),
    },
  }
}
