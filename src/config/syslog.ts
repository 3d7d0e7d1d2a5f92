import type { TlsConfig } from '../sinks/proof/config.ts'
import type { SyslogConfig } from '../sinks/syslog/config.ts'
import { join, read, type Component, type Context } from './component.ts'
import { isLeftOut, type Node } from './node.ts'
import { checkAddress, PROOF, proofOf, type ProofValues } from './proof.ts'
import { TLS_FILES, tlsFilesOf, type TlsFiles } from './tls-files.ts'

interface SyslogValues extends ProofValues {
  readonly address: string
  readonly protocol: string
  readonly port: number | null
}

/** As IANA has them: syslog-tls and syslog-conn. */
const TLS_PORT = 6514
const TCP_PORT = 601

export const SYSLOG: Component<SyslogValues> = {
  schema: {
    address: { doc: 'the name of the syslog receiver', format: 'tap_text', default: null, check: checkAddress },
    protocol: { doc: 'how the receiver is reached: tls, or tcp, which anybody on the way can read', format: 'tap_choice', options: ['tls', 'tcp'], default: 'tls' },
    port: { doc: 'the port of the receiver; left out: 6514, with protocol: tcp 601', format: 'tap_whole_number', min: 1, max: 65535, default: null, nullable: true },
    ...PROOF,
  },
  parts: ['tls'],
}

interface TlsValues extends TlsFiles {
  readonly verify_hostname: boolean
  readonly allow_weak_certificates: boolean
}

export const TLS: Component<TlsValues> = {
  schema: {
    ...TLS_FILES.schema,
    verify_hostname: { doc: 'false takes a certificate of the receiver for another name; a warning at each start', format: 'tap_yes_or_no', default: true },
    allow_weak_certificates: { doc: 'true takes SHA-1 signatures and short keys; a warning at each start', format: 'tap_yes_or_no', default: false },
  },
}

/** Reads `config` of an output and, where wanted, looks at the files of its TLS. */
export function readSyslog(node: Node | undefined, path: string, context: Context): SyslogConfig {
  const section = read(SYSLOG, node, path, context)
  const { values } = section
  const tlsNode = section.part('tls')
  const plain = values.protocol === 'tcp'
  if (plain && !isLeftOut(tlsNode)) context.report.problem(join(path, 'tls'), 'belongs to protocol: tls; with tcp nothing is encrypted')
  return {
    address: values.address,
    port: values.port ?? (plain ? TCP_PORT : TLS_PORT),
    ...proofOf(values),
    tls: plain ? null : readTls(tlsNode, join(path, 'tls'), context),
  }
}

function readTls(node: Node | undefined, path: string, context: Context): TlsConfig {
  const section = read(TLS, node, path, context)
  const { ca, cert, key } = tlsFilesOf(section, path, context)
  const { verify_hostname, allow_weak_certificates } = section.values
  return { chain: ca, cert, key, verifyHostname: verify_hostname, allowWeakCertificates: allow_weak_certificates }
}
