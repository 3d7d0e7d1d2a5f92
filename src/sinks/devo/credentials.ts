import { X509Certificate, createPrivateKey, type KeyObject } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'
import tls from 'node:tls'
import { RetryableError, describeError } from '../../pipeline/errors.ts'
import type { DevoConfig } from './config.ts'

export type CredentialFiles = Pick<DevoConfig, 'chain' | 'cert' | 'key' | 'allowWeakCertificates'>

/**
 * Reads the three files and makes the context of one connection; new files count from the next one. Throws a RetryableError that names the
 * file at fault: whoever replaces certificates may be halfway through.
 */
export async function readCredentials(files: CredentialFiles): Promise<tls.SecureContext> {
  const [ca, cert, key] = await Promise.all([read(files.chain), read(files.cert), read(files.key)])
  // Of a file without any certificate OpenSSL makes an empty list of authorities.
  if (!isCertificate(ca)) throw new RetryableError(`${files.chain} is not a PEM certificate`)
  try {
    return tls.createSecureContext({
      ca, cert, key,
      minVersion: 'TLSv1.2',
      // Level 0 also takes SHA-1 signatures and short keys, which level 1 and 2 refuse.
      ...(files.allowWeakCertificates && { ciphers: `${tls.DEFAULT_CIPHERS}:@SECLEVEL=0` }),
    })
  } catch (error) {
    throw new RetryableError(explain(files, cert, key, error), { cause: error })
  }
}

async function read(path: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
    throw new RetryableError(missing ? `there is no file ${path}` : `${path} cannot be read`, { cause: error })
  }
}

/** OpenSSL names the failing step, but not the file. */
function explain(files: CredentialFiles, cert: Buffer, key: Buffer, error: unknown): string {
  if (!isCertificate(cert)) return `${files.cert} is not a PEM certificate`
  let privateKey: KeyObject
  try {
    privateKey = createPrivateKey(key)
  } catch {
    const encrypted = key.includes('ENCRYPTED')
    return encrypted ? `${files.key} is protected by a passphrase; a key without one is needed` : `${files.key} is not a PEM private key`
  }
  if (!new X509Certificate(cert).checkPrivateKey(privateKey)) return `${files.key} is not the private key of ${basename(files.cert)}`
  if (/too (small|weak)/.test(describeError(error))) {
    return `${files.cert} is too weak for TLS today; allow_weak_certificates: true takes it all the same`
  }
  return `${files.cert}, ${basename(files.key)} or ${basename(files.chain)} cannot be used`
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
