import { hostname } from 'node:os'
import { OUTPUT_TYPES, type OutputTypeName, type SinkContext } from '../config/output-types.ts'
import { TRANSFORM_TYPES, type TransformConfig, type TransformTypeName } from '../config/transform-types.ts'
import type { CollectorConfig, OutputConfig } from '../config/types.ts'
import { ConfigurationError, type Problem } from '../pipeline/errors.ts'
import type { Output } from '../pipeline/supervisor.ts'
import type { Sink } from '../pipeline/sink.ts'
import type { Transform } from '../pipeline/transform.ts'
import { kindsOf, TAP_SERVICES, TAP_TABLES } from '../sources/proofpoint-tap/services.ts'
import { scrubbedOutput } from '../telemetry/scrubbed-output.ts'
import { SecretScrubber } from '../telemetry/secrets.ts'
import { onlyServices } from '../transforms/services.ts'

/** Where a service's events go in Devo. Events of a service that is no longer configured keep the service's own table. */
export function tagger(config: CollectorConfig): (inputId: string, service: string) => string {
  const tags = new Map<string, string>(
    config.inputs.flatMap(({ id, services }) =>
      services.flatMap(({ name, overrideTag }) => (overrideTag === null ? [] : TAP_SERVICES[name].arrays.map((kind) => [`${id}/${kind}`, overrideTag] as const))),
    ),
  )
  const tables = new Map<string, string>(Object.entries(TAP_TABLES))
  return (inputId, service) =>
    tags.get(`${inputId}/${service}`) ?? tables.get(service) ?? `mail.proofpoint.tapsiem_v2.${service.toLowerCase()}`
}

type OutputDependencies = Pick<SinkContext, 'clock' | 'log' | 'connect' | 'encode'>

/** All outputs; where one cannot be made, those that could are closed again. */
export async function createOutputs(config: CollectorConfig, dependencies: OutputDependencies): Promise<readonly Output[]> {
  const outputs: Output[] = []
  const problems: Problem[] = []
  try {
    for (const output of config.outputs) {
      try {
        outputs.push(await createOutput(output, config, dependencies))
      } catch (error) {
        if (!(error instanceof ConfigurationError)) throw error
        problems.push(...error.problems)
      }
    }
    if (problems.length > 0) throw new ConfigurationError(problems, { code: 'PlugInUnusable' })
    return outputs
  } catch (error) {
    await Promise.allSettled(outputs.map(({ sink }) => sink.close()))
    throw error
  }
}

export async function createOutput(output: OutputConfig, config: CollectorConfig, dependencies: OutputDependencies): Promise<Output> {
  const context: SinkContext = { ...dependencies, name: output.name, hostName: hostname(), tagOf: tagger(config) }
  const transforms: Transform[] = output.services === null ? [] : [onlyServices(subsetOf(output.services, config))]
  for (const transform of output.transforms) transforms.push(await createTransform(transform, context))
  const made: Output = {
    name: output.name,
    transforms,
    sink: await createSink(output, context),
    shipmentsInFlight: output.shipmentsInFlight,
    maxShipmentEvents: output.maxShipmentEvents,
    maxShipmentBytes: output.maxShipmentBytes,
    startFrom: output.startFrom,
  }
  const scrubber = new SecretScrubber()
  for (const secret of secretsOfOutput(output)) scrubber.add(secret)
  return scrubbedOutput(made, scrubber)
}

/** What of the outputs' configuration may never stand in the log. */
export function secretsOfOutputs({ outputs }: CollectorConfig): readonly string[] {
  return outputs.flatMap(secretsOfOutput)
}

function secretsOfOutput(output: OutputConfig): readonly string[] {
  return [...secretsOf(output), ...output.transforms.flatMap(secretsOfTransform)]
}

function createTransform<K extends TransformTypeName>({ type, config }: TransformConfig<K>, context: SinkContext): Transform | Promise<Transform> {
  return TRANSFORM_TYPES[type].create(config, context)
}

function createSink<K extends OutputTypeName>({ type, config }: OutputConfig<K>, context: SinkContext): Sink | Promise<Sink> {
  return OUTPUT_TYPES[type].create(config, context)
}

function secretsOf<K extends OutputTypeName>({ type, config }: OutputConfig<K>): readonly string[] {
  return OUTPUT_TYPES[type].secrets?.(config) ?? []
}

function secretsOfTransform<K extends TransformTypeName>({ type, config }: TransformConfig<K>): readonly string[] {
  return TRANSFORM_TYPES[type].secrets?.(config) ?? []
}

/**
 * `clicksBlocked` means that service of every input, also of one that is no longer configured and whose events still wait in the buffer;
 * `input/clicksBlocked` that of one input. `issues` means the events that it brings, which are permitted clicks and delivered messages.
 */
export function subsetOf(names: readonly string[], config: CollectorConfig): (inputId: string, service: string) => boolean {
  const inputNames = new Map(config.inputs.map(({ id, name }) => [id, name]))
  const wanted = new Set(names.flatMap(kindsOf))
  return (inputId, service) => wanted.has(service) || wanted.has(`${inputNames.get(inputId) ?? ''}/${service}`)
}
