import type { Transform } from '../pipeline/transform.ts'

/** An output's `services`: batches of other services are left out. `wanted` holds `inputId/service`. */
export function onlyServices(wanted: ReadonlySet<string>): Transform {
  return (batch) => (wanted.has(`${batch.inputId}/${batch.service}`) ? batch : null)
}
