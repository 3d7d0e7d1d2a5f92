import type { PeerConfig } from '../sinks/proof/config.ts'
import { join, read, type Component, type Context } from './component.ts'
import { isLeftOut, type Node } from './node.ts'
import { OLD_DEVO } from './old-keys.ts'
import { checkAddress, PROOF, proofOf, type ProofValues } from './proof.ts'

interface RelayValues extends ProofValues {
  readonly address: string
  readonly port: number
}

/** Keys of TLS: who gives them does not expect a plain connection. */
const OF_TLS = ['chain', 'cert', 'key'] as const

export const RELAY: Component<RelayValues> = {
  schema: {
    address: { doc: 'the name of the Devo relay', format: 'tap_text', default: null, check: checkAddress },
    port: { doc: 'the port of the relay, plain TCP', format: 'tap_whole_number', min: 1, max: 65535, default: 13000 },
    ...PROOF,
  },
  parts: OF_TLS,
  aliases: { url: 'address', location: 'address' },
  old: OLD_DEVO,
}

/** Reads `config` of an output. */
export function readRelay(node: Node | undefined, path: string, context: Context): PeerConfig {
  const section = read(RELAY, node, path, context)
  for (const key of OF_TLS) {
    if (isLeftOut(section.part(key))) continue
    context.report.problem(join(path, key), 'a relay gets its events over plain TCP; for an endpoint with TLS take type: devo_platform')
  }
  const { values } = section
  return { address: values.address, port: values.port, ...proofOf(values) }
}
