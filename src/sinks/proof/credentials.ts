import { X509Certificate, createPrivateKey, type KeyObject } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import tls from 'node:tls'
import { RetryableError, describeError } from '../../pipeline/errors.ts'
import type { TlsConfig } from './config.ts'

export type CredentialFiles = Omit<TlsConfig, 'verifyHostname'>

/** A file and what is in it. */
interface Pem {
  readonly path: string
  readonly bytes: Buffer
}

/**
 * Reads the files and makes the context of one connection; new files count from the next one. Throws a RetryableError that names the
 * file at fault: whoever replaces certificates may be halfway through.
 */
export async function readCredentials(files: CredentialFiles): Promise<tls.SecureContext> {
  const [chain, cert, key] = await Promise.all([read(files.chain), read(files.cert), read(files.key)])
  // Of a file without any certificate OpenSSL makes an empty list of authorities.
  if (chain !== null && !isCertificate(chain.bytes)) throw new RetryableError(`${chain.path} is not a PEM certificate`, { code: 'CertificateUnusable' })
  try {
    return tls.createSecureContext({
      ...(chain !== null && { ca: chain.bytes }),
      ...(cert !== null && { cert: cert.bytes }),
      ...(key !== null && { key: key.bytes }),
      minVersion: 'TLSv1.2',
      // Level 0 also takes SHA-1 signatures and short keys, which level 1 and 2 refuse.
      ...(files.allowWeakCertificates && { ciphers: `${tls.DEFAULT_CIPHERS}:@SECLEVEL=0` }),
    })
  } catch (error) {
    const wrong = cert === null || key === null ? null : explain(cert, key, error)
    const paths = [cert, key, chain].filter((file) => file !== null).map(({ path }, index) => (index === 0 ? path : basename(path)))
    throw new RetryableError(wrong ?? `one of ${paths.join(', ')} cannot be used`, { code: 'CertificateUnusable', cause: error })
  }
}

async function read(path: string | null): Promise<Pem | null> {
  if (path === null) return null
  try {
    return { path, bytes: await readFile(path) }
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
    throw new RetryableError(missing ? `there is no file ${path}` : `${path} cannot be read`, { code: 'CertificateUnusable', cause: error })
  }
}

/** OpenSSL names the failing step, but not the file. Null: neither of the two. */
function explain(cert: Pem, key: Pem, error: unknown): string | null {
  if (!isCertificate(cert.bytes)) return `${cert.path} is not a PEM certificate`
  let privateKey: KeyObject
  try {
    privateKey = createPrivateKey(key.bytes)
  } catch {
    const encrypted = key.bytes.includes('ENCRYPTED')
    return encrypted ? `${key.path} is protected by a passphrase; a key without one is needed` : `${key.path} is not a PEM private key`
  }
  if (!new X509Certificate(cert.bytes).checkPrivateKey(privateKey)) return `${key.path} is not the private key of ${basename(cert.path)}`
  if (!/too (small|weak)/.test(describeError(error))) return null
  return `${cert.path} is too weak for TLS today; allow_weak_certificates: true takes it all the same`
}

/** Reads the first certificate of several, which is enough to know the kind of file. */
function isCertificate(pem: Buffer): boolean {
  try {
    new X509Certificate(pem)
    return true
  } catch {
    return false
  }
}
