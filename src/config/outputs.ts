import { isFile } from '../plug-ins/config.ts'
import type { TapInputConfig } from '../sources/proofpoint-tap/config.ts'
import { isSwitchedOff, join, namedEntries, read, readScalar, type Component, type Context, type ReadScalar } from './component.ts'
import { isLeftOut, type Node } from './node.ts'
import { nearest } from './nearest.ts'
import { OLD_OUTPUT } from './old-keys.ts'
import { BUILT_IN_OUTPUTS, isBuiltInOutput, OUTPUT_TYPES, type OutputTypeName } from './output-types.ts'
import { isPlugIn, type Named } from './plug-in.ts'
import { checkSubset } from './subset.ts'
import { readTransforms } from './transforms.ts'
import type { OutputCommon, OutputConfig } from './types.ts'

const CHOICE = `${BUILT_IN_OUTPUTS.slice(0, -1).join(', ')} or ${BUILT_IN_OUTPUTS.at(-1) ?? ''}`
/** Types of the old collector without their like here. To take one for a typing error, or to leave it out silently, would both be wrong. */
export const NOT_HERE = ['sidecar']
/** Types of the old collector that have another name here, which is taken for them with a warning. */
export const RENAMED: Readonly<Record<string, string>> = { in_house_relay: 'relay', stdout: 'console' }

/** No type has this name. */
const UNUSABLE = ''

interface OutputValues {
  readonly type: string
  readonly enabled: boolean
  readonly shipments_in_flight: number
  readonly max_shipment_events: number
  readonly max_shipment_bytes: number
  readonly start_from: string
}

export const OUTPUT: Component<OutputValues> = {
  schema: {
    type: { doc: `the kind of output, ${CHOICE}`, format: 'tap_text', default: null },
    enabled: { doc: 'false: the output gets nothing; switched on again it gets its backlog, as far as the buffer still has it', format: 'tap_yes_or_no', default: true },
    shipments_in_flight: { doc: 'how many shipments, each a connection of its own, are written or waiting for their proof at once; each kind of output has a limit of its own', format: 'tap_whole_number', min: 1, max: 64, default: 4 },
    max_shipment_events: { doc: 'after how many events a shipment ends at the latest', format: 'tap_whole_number', min: 1, max: 10_000_000, default: 50_000 },
    max_shipment_bytes: {
      doc: 'after how many bytes a shipment ends at the latest',
      format: 'tap_whole_number',
      min: 1,
      max: 17_179_869_184,
      default: 67_108_864,
    },
    start_from: { doc: 'where an output that is added later begins: now, or with the oldest event in the buffer; those of a first start begin with the first event', format: 'tap_choice', options: ['now', 'oldest'], default: 'now' },
  },
  parts: ['config', 'services', 'transforms'],
  old: OLD_OUTPUT,
}

/** All outputs that are on. `inputs` are those that are on: an output may take a subset of their services. */
export function readOutputs(node: Node | undefined, inputs: readonly TapInputConfig[], context: Context): readonly OutputConfig[] {
  const path = 'outputs'
  const entries = namedEntries(node, path, context)
  const on = entries.filter(([name, entry]) => !isSwitchedOff(OUTPUT, entry, join(path, name), context))
  if ((isLeftOut(node) && !context.report.isExplained(path)) || (node?.kind === 'map' && on.length === 0)) {
    context.report.problem(
      path,
      entries.length === 0 ? 'is missing: at least one output is needed' : 'all outputs have enabled: false; at least one must be on',
    )
  }
  return on.map(([name, entry]) => readOutput(name, entry, join(path, name), inputs, context)).filter((output) => output !== null)
}

function readOutput(name: string, node: Node, path: string, inputs: readonly TapInputConfig[], context: Context): OutputConfig | null {
  const at = join(path, 'type')
  const type = readType(node, at, context)
  if (type === UNUSABLE) return null
  const section = read(OUTPUT, node, path, context)
  const { values } = section
  const common: OutputCommon = {
    name,
    services: checkSubset(section.part('services'), join(path, 'services'), inputs, context),
    transforms: readTransforms(section.part('transforms'), join(path, 'transforms'), context),
    shipmentsInFlight: values.shipments_in_flight,
    maxShipmentEvents: values.max_shipment_events,
    maxShipmentBytes: values.max_shipment_bytes,
    startFrom: values.start_from === 'oldest' ? 'oldest' : 'now',
  }
  if (type === null) return null
  const named: Named = { name: type, path: at }
  return readConfig(isBuiltInOutput(type) ? type : 'plug_in', named, common, section.part('config'), join(path, 'config'), context)
}

function readConfig<K extends OutputTypeName>(
  type: K,
  named: Named,
  common: OutputCommon,
  node: Node | undefined,
  path: string,
  context: Context,
): OutputConfig<K> {
  return { ...common, type, config: OUTPUT_TYPES[type].read(node, path, context, named) }
}

/**
 * A built-in type or the name of a plug-in. Null where it is missing, which is reported with the rest; of an output whose type cannot be used nothing
 * else is looked at.
 */
function readType(output: Node, path: string, context: Context): string | null {
  const node = output.kind === 'map' ? output.entries.get('type') : undefined
  if (isLeftOut(node) || node.kind !== 'scalar') return null
  const type = readScalar(node, path, context)
  if (type === null) return UNUSABLE
  const renamed = Object.hasOwn(RENAMED, type.text) ? RENAMED[type.text] : undefined
  if (renamed !== undefined) {
    context.report.warning(path, `is the old name of ${renamed}; it is taken as such`)
    return renamed
  }
  const wrong = isBuiltInOutput(type.text) ? null : whatIsWrong(type)
  if (wrong === null) return type.text
  context.report.problem(path, `must be ${CHOICE}${wrong}`, type.shown)
  return UNUSABLE
}

function whatIsWrong({ text: type, foreign }: ReadScalar): string | null {
  if (NOT_HERE.includes(type)) return '; this type of the old collector has no like here, so remove the output'
  const near = isFile(type) ? null : nearest(type, BUILT_IN_OUTPUTS)
  if (near !== null) return ` (did you mean ${near}?)`
  // What comes from there may be a secret, and the name of a plug-in is shown wherever it fails.
  if (foreign) return '; the name of a plug-in of your own stands here itself, and comes from no variable or file'
  return isPlugIn(type) ? null : ', a file of your own such as ./my-sink.mjs, or the name of an npm package'
}
