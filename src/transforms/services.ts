import type { Transform } from '../pipeline/transform.ts'

/** An output's `services`: batches of others are left out. */
export function onlyServices(isWanted: (inputId: string, service: string) => boolean): Transform {
  return (batch) => (isWanted(batch.inputId, batch.service) ? batch : null)
}
