import type { CollectorConfig } from '../config/types.ts'
import { counted } from '../pipeline/counted.ts'
import type { ServiceCounts } from '../pipeline/service-counts.ts'
import { table } from './table.ts'

interface ReplayReport {
  readonly isDry: boolean
  readonly inputs: CollectorConfig['inputs']
  readonly outputs: readonly { readonly name: string; readonly sent: ServiceCounts; readonly refused: ServiceCounts }[]
}

/** What was sent, and refused, by output and service, in columns. */
export function replayReport({ isDry, inputs, outputs }: ReplayReport): string {
  const inputNames = new Map(inputs.map(({ id, name }) => [id, name]))
  const label = (key: string): string => {
    const at = key.lastIndexOf('/')
    return `${inputNames.get(key.slice(0, at)) ?? key.slice(0, at)}${key.slice(at)}`
  }
  const rows = outputs.flatMap(({ name, sent, refused }) => {
    const keys = [...new Set([...sent.keys, ...refused.keys])].sort()
    return keys.length === 0 ? [[name, '-', '0', '0']] : keys.map((key) => [name, label(key), String(sent.of(key)), String(refused.of(key))])
  })
  const refused = outputs.reduce((sum, output) => sum + output.refused.total, 0)
  const kept = refused === 0 || isDry ? '' : `${counted(refused, 'event')} refused for good; ${refused === 1 ? 'it is kept as a dead letter' : 'they are kept as dead letters'}\n`
  return table(['OUTPUT', 'SERVICE', isDry ? 'WOULD BE SENT' : 'SENT', 'REFUSED'], rows) + kept
}
