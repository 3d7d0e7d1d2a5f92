import type { TapInputConfig } from '../sources/proofpoint-tap/config.ts'
import { kindsOf, TAP_SERVICES } from '../sources/proofpoint-tap/services.ts'
import { readScalar, type Context } from './component.ts'
import { isLeftOut, show, type Node } from './node.ts'
import { nearest } from './nearest.ts'
import { isServiceName, SERVICE_NAMES } from './services.ts'

/** `services` of an output: `clicksBlocked` or `input/clicksBlocked`; null where it is left out, for all. */
export function checkSubset(
  node: Node | undefined,
  path: string,
  inputs: readonly TapInputConfig[],
  context: Context,
): readonly string[] | null {
  const { report } = context
  if (isLeftOut(node)) return null
  if (node.kind !== 'list') {
    report.problem(path, 'must be a list of services, such as [clicksBlocked, messagesBlocked]', show(node))
    return null
  }
  if (node.items.length === 0) {
    report.problem(path, 'must name at least one service; leave the key out for all of them')
    return null
  }
  const names = node.items.map((item, index) => {
    const at = `${path}[${index}]`
    if (item.kind !== 'scalar') {
      report.problem(at, 'must be the name of a service', show(item))
      return null
    }
    const scalar = readScalar(item, at, context)
    if (scalar === null) return null
    const wrong = findWrong(scalar.text, inputs)
    if (wrong !== null) report.problem(at, wrong, scalar.shown)
    else if (!isRun(scalar.text, inputs)) report.warning(at, 'is a service that no input runs; nothing of it will come', scalar.shown)
    return scalar.text
  })
  return names.filter((name) => name !== null)
}

function findWrong(text: string, inputs: readonly TapInputConfig[]): string | null {
  const [input, service] = split(text)
  if (!isServiceName(service)) {
    const near = nearest(service, SERVICE_NAMES)
    return `must be one of ${SERVICE_NAMES.join(', ')}${near === null ? '' : ` (did you mean ${near}?)`}`
  }
  const names = inputs.map(({ name }) => name)
  if (input === null || names.includes(input)) return null
  const near = nearest(input, names)
  return `must name an input that runs, ${names.join(' or ')}${near === null ? '' : ` (did you mean ${near}/${service}?)`}`
}

function isRun(text: string, inputs: readonly TapInputConfig[]): boolean {
  const [input, service] = split(text)
  const wanted = kindsOf(service)
  return inputs.some(({ name, services }) => (input === null || input === name) && services.some((one) => TAP_SERVICES[one.name].arrays.some((kind) => wanted.includes(kind))))
}

function split(text: string): readonly [input: string | null, service: string] {
  const slash = text.lastIndexOf('/')
  return slash === -1 ? [null, text] : [text.slice(0, slash), text.slice(slash + 1)]
}
