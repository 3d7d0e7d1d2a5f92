import type { TlsConfig } from '../sinks/proof/config.ts'
import type { SyslogConfig } from '../sinks/syslog/config.ts'
import { checkClientCertificate } from './certificates.ts'
import { fileOf } from './certificate-files.ts'
import { join, read, type Component, type Context, type Section } from './component.ts'
import { isLeftOut, type Node } from './node.ts'
import { checkAddress, PROOF, proofOf, type ProofValues } from './proof.ts'

interface SyslogValues extends ProofValues {
  readonly address: string
  readonly protocol: string
  readonly port: number | null
}

/** As IANA has them: syslog-tls and syslog-conn. */
const TLS_PORT = 6514
const TCP_PORT = 601

const SYSLOG: Component<SyslogValues> = {
  schema: {
    address: { doc: 'the name of the syslog receiver', format: 'tap_text', default: null, check: checkAddress },
    protocol: { doc: 'how it is reached', format: 'tap_choice', options: ['tls', 'tcp'], default: 'tls' },
    port: { doc: 'its port', format: 'tap_whole_number', min: 1, max: 65535, default: null, nullable: true },
    ...PROOF,
  },
  parts: ['tls'],
}

interface TlsValues {
  readonly ca: string | null
  readonly cert: string | null
  readonly key: string | null
  readonly verify_hostname: boolean
  readonly allow_weak_certificates: boolean
}

const TLS: Component<TlsValues> = {
  schema: {
    ca: { doc: 'the file with the authority of the receiver', format: 'tap_text', default: null, nullable: true },
    cert: { doc: 'the file with a client certificate', format: 'tap_text', default: null, nullable: true },
    key: { doc: 'the file with the private key of that certificate', format: 'tap_text', default: null, nullable: true },
    verify_hostname: { doc: 'whether the name in the certificate of the receiver is checked', format: 'tap_yes_or_no', default: true },
    allow_weak_certificates: { doc: 'whether weak keys and digests are taken', format: 'tap_yes_or_no', default: false },
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
  const chain = file('ca', section, path, context)
  const cert = file('cert', section, path, context)
  const key = file('key', section, path, context)
  for (const [missing, given, name] of [[cert, key, 'cert'], [key, cert, 'key']] as const) {
    if (missing === null && given !== null && !context.report.isExplained(join(path, name)))
      context.report.problem(join(path, name), 'is missing: a client certificate and its key go together')
  }
  if (context.checkCertificates) checkClientCertificate({ chain, cert, key }, context)
  return {
    chain: chain?.file ?? null,
    cert: cert?.file ?? null,
    key: key?.file ?? null,
    verifyHostname: section.values.verify_hostname,
    allowWeakCertificates: section.values.allow_weak_certificates,
  }
}

function file(key: 'ca' | 'cert' | 'key', section: Section<TlsValues>, path: string, { root }: Context) {
  const name = section.values[key]
  return name === null || !section.given(key) ? null : fileOf(name, join(path, key), section.foreign(key), root)
}
