import { hostname } from 'node:os'
import type { Logger } from 'pino'
import type { CollectorConfig, OutputConfig } from '../config/types.ts'
import type { Clock } from '../pipeline/clock.ts'
import type { Output } from '../pipeline/supervisor.ts'
import type { Sink } from '../pipeline/sink.ts'
import { createConsoleSink } from '../sinks/console/sink.ts'
import type { Connect } from '../sinks/devo/connection.ts'
import { createDevoSink } from '../sinks/devo/sink.ts'
import { TAP_SERVICES } from '../sources/proofpoint-tap/services.ts'
import { onlyServices } from '../transforms/services.ts'

/** Where a service's events go in Devo. Events of a service that is no longer configured keep the service's own table. */
export function tagger(config: CollectorConfig): (inputId: string, service: string) => string {
  const tags = new Map<string, string>(
    config.inputs.flatMap((input) => input.services.map(({ name, tag }) => [`${input.id}/${name}`, tag] as const)),
  )
  const tables = new Map<string, string>(Object.values(TAP_SERVICES).map(({ name, table }) => [name, table]))
  return (inputId, service) =>
    tags.get(`${inputId}/${service}`) ?? tables.get(service) ?? `mail.proofpoint.tapsiem_v2.${service.toLowerCase()}`
}

interface OutputDependencies {
  readonly clock: Clock
  readonly log: Logger
  /** The seam of outputs to Devo: default TLS. */
  readonly connect?: Connect
}

export function createOutput(output: OutputConfig, config: CollectorConfig, dependencies: OutputDependencies): Output {
  return {
    name: output.name,
    sink: createSink(output, config, dependencies),
    transforms: output.services === null ? [] : [onlyServices(subsetOf(output.services, config))],
    shipmentsInFlight: output.shipmentsInFlight,
    maxShipmentEvents: output.maxShipmentEvents,
    maxShipmentBytes: output.maxShipmentBytes,
    startFrom: output.startFrom,
  }
}

function createSink(output: OutputConfig, config: CollectorConfig, dependencies: OutputDependencies): Sink {
  const context = { ...dependencies, name: output.name, hostName: hostname(), tagOf: tagger(config) }
  switch (output.type) {
    case 'devo_platform':
      return createDevoSink(output.config, context)
    case 'console':
      return createConsoleSink(output.config, context)
  }
}

/**
 * `clicksBlocked` means that service of every input, also of one that is no longer configured and whose events still wait in the buffer;
 * `input/clicksBlocked` that of one input.
 */
function subsetOf(names: readonly string[], config: CollectorConfig): (inputId: string, service: string) => boolean {
  const inputNames = new Map(config.inputs.map(({ id, name }) => [id, name]))
  const wanted = new Set(names)
  return (inputId, service) => wanted.has(service) || wanted.has(`${inputNames.get(inputId) ?? ''}/${service}`)
}
