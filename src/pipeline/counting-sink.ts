import { pipeline } from 'node:stream/promises'
import { countEvents, type Batch } from './event.ts'
import { ServiceCounts } from './service-counts.ts'
import type { Sink } from './sink.ts'

/** The sink, counting what it has proven to have delivered; what it refused is not among that. */
export function countingSink(sink: Sink, delivered: ServiceCounts): Sink {
  return {
    maxShipmentsInFlight: sink.maxShipmentsInFlight,
    check: (signal) => sink.check(signal),
    close: () => sink.close(),
    ship({ signal, reject }) {
      return async (batches) => {
        // Of this attempt: the same events come again after one that fails.
        const counts = new ServiceCounts()
        const counted = async function* (): AsyncGenerator<Batch> {
          for await (const batch of batches) {
            counts.add(batch, countEvents(batch))
            yield batch
          }
        }
        const delivery = sink.ship({
          signal,
          reject: (batch, index, reason) => {
            counts.add(batch, -1)
            reject(batch, index, reason)
          },
        })
        if (typeof delivery === 'function') await pipeline(counted, delivery, { signal })
        else await pipeline(counted, delivery, { signal })
        delivered.addAll(counts)
      }
    },
  }
}
