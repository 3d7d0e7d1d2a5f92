import type { TapInputConfig } from '../sources/proofpoint-tap/config.ts'
import { isSwitchedOff, join, namedEntries, read, readScalar, type Component, type Context } from './component.ts'
import { isLeftOut, type Node } from './node.ts'
import { nearest } from './nearest.ts'
import { OLD_OUTPUT } from './old-keys.ts'
import { isOutputType, OUTPUT_TYPES, type OutputTypeName } from './output-types.ts'
import { checkSubset } from './subset.ts'
import type { OutputCommon, OutputConfig } from './types.ts'

const BUILT_IN = Object.keys(OUTPUT_TYPES)
const CHOICE = `${BUILT_IN.slice(0, -1).join(', ')} or ${BUILT_IN.at(-1) ?? ''}`
/**
 * Known from the old collector or from what is planned. To take one for a typing error, or to leave it out silently,
 * would both be wrong.
 */
const NOT_YET = ['kafka', 's3', 'sidecar']
/** Types of the old collector that have another name here. */
const RENAMED: Readonly<Record<string, string>> = { in_house_relay: 'relay', stdout: 'console' }

interface OutputValues {
  readonly type: string
  readonly enabled: boolean
  readonly shipments_in_flight: number
  readonly max_shipment_events: number
  readonly max_shipment_bytes: number
  readonly start_from: string
}

const OUTPUT: Component<OutputValues> = {
  schema: {
    type: { doc: `the kind of output, ${CHOICE}`, format: 'tap_text', default: null },
    enabled: { doc: 'whether the output runs', format: 'tap_yes_or_no', default: true },
    shipments_in_flight: { doc: 'how many shipments are under way at once', format: 'tap_whole_number', min: 1, max: 64, default: 4 },
    max_shipment_events: { doc: 'how many events a shipment holds', format: 'tap_whole_number', min: 1, max: 10_000_000, default: 50_000 },
    max_shipment_bytes: {
      doc: 'how many bytes a shipment holds',
      format: 'tap_whole_number',
      min: 1,
      max: 17_179_869_184,
      default: 67_108_864,
    },
    start_from: { doc: 'where an output that is added later begins', format: 'tap_choice', options: ['now', 'oldest'], default: 'now' },
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
  const type = readType(node, join(path, 'type'), context)
  if (type === 'unusable') return null
  const section = read(OUTPUT, node, path, context)
  const { values } = section
  refuseTransforms(section.part('transforms'), join(path, 'transforms'), context)
  const common: OutputCommon = {
    name,
    services: checkSubset(section.part('services'), join(path, 'services'), inputs, context),
    shipmentsInFlight: values.shipments_in_flight,
    maxShipmentEvents: values.max_shipment_events,
    maxShipmentBytes: values.max_shipment_bytes,
    startFrom: values.start_from === 'oldest' ? 'oldest' : 'now',
  }
  return type === null ? null : readConfig(type, common, section.part('config'), join(path, 'config'), context)
}

function readConfig<K extends OutputTypeName>(
  type: K,
  common: OutputCommon,
  node: Node | undefined,
  path: string,
  context: Context,
): OutputConfig<K> {
  return { ...common, type, config: OUTPUT_TYPES[type].read(node, path, context) }
}

/** Null where it is missing, which is reported with the rest; of an output whose type cannot be used nothing else is looked at. */
function readType(output: Node, path: string, context: Context): OutputTypeName | null | 'unusable' {
  const node = output.kind === 'map' ? output.entries.get('type') : undefined
  if (isLeftOut(node) || node.kind !== 'scalar') return null
  const type = readScalar(node, path, context)
  if (type === null) return 'unusable'
  if (isOutputType(type.text)) return type.text
  context.report.problem(path, `must be ${CHOICE}${whyNot(type.text)}`, type.shown)
  return 'unusable'
}

function whyNot(type: string): string {
  if (Object.hasOwn(RENAMED, type)) return `; it is called ${RENAMED[type] ?? ''} here`
  if (NOT_YET.includes(type)) return '; outputs of this type are not available in this version'
  if (/^[./@]|\.[cm]?[jt]s$/.test(type)) return '; outputs of your own are not available in this version'
  const near = nearest(type, BUILT_IN)
  return near === null ? '; packages as outputs are not available in this version' : ` (did you mean ${near}?)`
}

/** A transform that is left out silently would let through what its owner wants filtered or masked. */
function refuseTransforms(node: Node | undefined, path: string, { report }: Context): void {
  if (isLeftOut(node) || (node.kind === 'list' && node.items.length === 0)) return
  report.problem(
    path,
    'are not available in this version, and without them events would leave unfiltered and unmasked; remove the key to accept that',
  )
}
