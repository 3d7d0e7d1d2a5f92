import type { DevoConfig } from '../sinks/devo/config.ts'
import { checkClientCertificate } from './certificates.ts'
import { fileOf } from './certificate-files.ts'
import { join, read, type Component, type Context, type Section } from './component.ts'
import type { Node } from './node.ts'
import { OLD_DEVO } from './old-keys.ts'
import { checkAddress, PROOF, proofOf, type ProofValues } from './proof.ts'

interface DevoValues extends ProofValues {
  readonly address: string
  readonly port: number
  readonly type: string
  readonly chain: string
  readonly cert: string
  readonly key: string
  readonly verify_hostname: boolean
  readonly allow_weak_certificates: boolean
}

export const DEVO: Component<DevoValues> = {
  schema: {
    address: { doc: 'the name of the Devo endpoint, such as collector-eu.devo.io', format: 'tap_text', default: null, check: checkAddress },
    port: { doc: 'the port of the Devo endpoint', format: 'tap_whole_number', min: 1, max: 65535, default: 443 },
    // The old collector takes any spelling and uses TLS in any case.
    type: { doc: 'only SSL: Devo takes events over TLS alone', format: 'tap_text', default: 'SSL', pattern: /^(?:ssl|tls)$/i, expected: 'SSL: Devo takes events over TLS only' },
    chain: { doc: 'the file with the chain of Devo, in the folder certs', format: 'tap_text', default: null },
    cert: { doc: 'the file with your certificate, in the folder certs', format: 'tap_text', default: null },
    key: { doc: 'the file with the private key of your certificate, in the folder certs', format: 'tap_text', default: null },
    ...PROOF,
    verify_hostname: { doc: 'false takes a certificate of Devo for another name, so that somebody on the way may read events; a warning at each start', format: 'tap_yes_or_no', default: true },
    allow_weak_certificates: { doc: 'true takes SHA-1 signatures and short keys; a warning at each start', format: 'tap_yes_or_no', default: false },
  },
  aliases: { url: 'address', location: 'address', chain_loc: 'chain', cert_loc: 'cert', key_loc: 'key' },
  old: OLD_DEVO,
}

/** Reads `config` of an output and, where wanted, looks at its three files. */
export function readDevo(node: Node | undefined, path: string, context: Context): DevoConfig {
  const section = read(DEVO, node, path, context)
  const { values } = section
  const files = {
    chain: file('chain', section, path, context),
    cert: file('cert', section, path, context),
    key: file('key', section, path, context),
  }
  if (context.checkCertificates) checkClientCertificate(files, context)
  return {
    address: values.address,
    port: values.port,
    chain: files.chain?.file ?? '',
    cert: files.cert?.file ?? '',
    key: files.key?.file ?? '',
    ...proofOf(values),
    verifyHostname: values.verify_hostname,
    allowWeakCertificates: values.allow_weak_certificates,
  }
}

function file(key: 'chain' | 'cert' | 'key', section: Section<DevoValues>, path: string, { root }: Context) {
  if (!section.given(key)) return null
  return fileOf(section.values[key], join(path, key), section.foreign(key), root)
}
