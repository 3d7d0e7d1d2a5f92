import { checkClientCertificate } from './certificates.ts'
import { fileOf } from './certificate-files.ts'
import { join, read, type Component, type Context, type Section } from './component.ts'
import type { Node } from './node.ts'

/** The files of a TLS client, absolute; null where the system's authorities and no client certificate do. */
export interface TlsFiles {
  readonly ca: string | null
  readonly cert: string | null
  readonly key: string | null
}

export const TLS_FILES: Component<TlsFiles> = {
  schema: {
    ca: { doc: 'a file in certs/ with the authorities of the other side; left out: those of Node', format: 'tap_text', default: null, nullable: true },
    cert: { doc: 'a file in certs/ with a client certificate, where the other side wants one', format: 'tap_text', default: null, nullable: true },
    key: { doc: 'a file in certs/ with the private key of that certificate, without a passphrase', format: 'tap_text', default: null, nullable: true },
  },
}

/** Reads a mapping of `ca`, `cert` and `key`, each of which may be left out, and, where wanted, looks at the files. */
export function readTlsFiles(node: Node | undefined, path: string, context: Context): TlsFiles {
  return tlsFilesOf(read(TLS_FILES, node, path, context), path, context)
}

/** The same of a mapping that was read, perhaps with other keys beside. */
export function tlsFilesOf(section: Section<TlsFiles>, path: string, context: Context): TlsFiles {
  const ca = file('ca', section, path, context)
  const cert = file('cert', section, path, context)
  const key = file('key', section, path, context)
  for (const [missing, given, name] of [[cert, key, 'cert'], [key, cert, 'key']] as const) {
    if (missing === null && given !== null && !context.report.isExplained(join(path, name)))
      context.report.problem(join(path, name), 'is missing: a client certificate and its key go together')
  }
  if (context.checkCertificates) checkClientCertificate({ chain: ca, cert, key }, context)
  return { ca: ca?.file ?? null, cert: cert?.file ?? null, key: key?.file ?? null }
}

function file(key: keyof TlsFiles, section: Section<TlsFiles>, path: string, { root }: Context) {
  const name = section.values[key]
  return name === null || !section.given(key) ? null : fileOf(name, join(path, key), section.foreign(key), root)
}
