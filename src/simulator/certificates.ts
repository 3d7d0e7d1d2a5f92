import { generateKeyPair, randomBytes } from 'node:crypto'
import { chmod, mkdir, rename, writeFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import forge from 'node-forge'

/** A server certificate names these unless it is given other hosts. */
const LOOPBACK_HOSTS: readonly string[] = ['localhost', '127.0.0.1', '::1']

const DAY_MS = 86_400_000
const generateKeys = promisify(generateKeyPair)

export interface CertificateOptions {
  readonly commonName: string
  /** Default `valid`: from an hour ago, a year for a certificate and ten for an authority. `expiresInDays` may be a fraction. */
  readonly validity?: 'valid' | 'expired' | 'not yet valid' | { readonly expiresInDays: number }
  /** What the issuer signs it with. OpenSSL's default security level refuses SHA-1 below the root. */
  readonly signature?: 'sha256' | 'sha1'
  /** RSA modulus, 2048 by default. OpenSSL's default security level refuses less. */
  readonly keyBits?: number
}

export interface IssueOptions extends CertificateOptions {
  /** Names and addresses of a server, LOOPBACK_HOSTS by default. A client certificate has none unless they are given. */
  readonly hosts?: readonly string[]
  /** True: for the client's side of a connection, else for the server's. */
  readonly client?: boolean
}

export interface Issued {
  readonly certPem: string
  /** PKCS #8, not encrypted. */
  readonly keyPem: string
  /** The certificate and every intermediate authority above it, without the root: what its holder presents in a handshake. */
  readonly chainPem: string
}

/** A certificate authority that lives in memory. Its own `certPem` is what the other side trusts (of an intermediate one: the root's). */
export interface Authority extends Issued {
  issue(options: IssueOptions): Promise<Issued>
  /** An authority below this one. */
  intermediate(options: CertificateOptions): Promise<Authority>
}

interface Signer {
  readonly cert: forge.pki.Certificate
  readonly key: forge.pki.rsa.PrivateKey
  /** This authority and those above it, without the root. */
  readonly chainPem: string
}

/** A self-signed root authority. Keys come from node:crypto, the certificate from node-forge: no openssl program is needed. */
export async function makeAuthority(options: CertificateOptions): Promise<Authority> {
  return authority(options, null)
}

/**
 * Writes PEM texts below `folder` (made where it is missing), each by a rename so that no reader sees half a file.
 * Private keys are readable by the owner alone.
 */
export async function writePemFiles(folder: string, files: Readonly<Record<string, string>>): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (const [name, pem] of Object.entries(files)) {
    const path = join(folder, name)
    const mode = pem.includes('PRIVATE KEY') ? 0o600 : 0o644
    await writeFile(`${path}.tmp`, pem, { mode })
    // The mode above counts for a new file only, and only as far as the umask allows.
    await chmod(`${path}.tmp`, mode)
    await rename(`${path}.tmp`, path)
  }
}

async function authority(options: CertificateOptions, issuer: Signer | null): Promise<Authority> {
  const { cert, key, keyPem } = await makeCertificate(options, issuer, 10 * 365, [
    { name: 'basicConstraints', critical: true, cA: true },
    { name: 'keyUsage', critical: true, keyCertSign: true, cRLSign: true },
  ])
  const certPem = toPem(cert)
  const signer: Signer = { cert, key, chainPem: issuer === null ? '' : certPem + issuer.chainPem }
  return {
    certPem,
    keyPem,
    chainPem: issuer === null ? certPem : signer.chainPem,
    issue: async (leaf) => issue(leaf, signer),
    intermediate: async (below) => authority(below, signer),
  }
}

async function issue(options: IssueOptions, issuer: Signer): Promise<Issued> {
  const client = options.client ?? false
  const hosts = options.hosts ?? (client ? [] : LOOPBACK_HOSTS)
  const extensions: Extension[] = [
    { name: 'basicConstraints', critical: true, cA: false },
    { name: 'keyUsage', critical: true, digitalSignature: true, keyEncipherment: true },
    { name: 'extKeyUsage', serverAuth: !client, clientAuth: client },
  ]
  if (hosts.length > 0) {
    extensions.push({
      name: 'subjectAltName',
      altNames: hosts.map((host) => (isIP(host) === 0 ? { type: ALT_NAME_DNS, value: host } : { type: ALT_NAME_IP, ip: host })),
    })
  }
  const { cert, keyPem } = await makeCertificate(options, issuer, 365, extensions)
  const certPem = toPem(cert)
  return { certPem, keyPem, chainPem: certPem + issuer.chainPem }
}

type Extension = { readonly name: string } & Readonly<Record<string, unknown>>
const ALT_NAME_DNS = 2
const ALT_NAME_IP = 7

async function makeCertificate(options: CertificateOptions, issuer: Signer | null, days: number, extensions: readonly Extension[]) {
  const keys = await generateKeys('rsa', {
    modulusLength: options.keyBits ?? 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  })
  const key = forge.pki.privateKeyFromPem(keys.privateKey)
  const cert = forge.pki.createCertificate()
  cert.publicKey = forge.pki.publicKeyFromPem(keys.publicKey)
  // A serial number is a positive integer of at most 20 bytes without leading zero bytes.
  cert.serialNumber = `4${randomBytes(16).toString('hex').slice(1)}`
  const { notBefore, notAfter } = validity(options.validity ?? 'valid', days)
  cert.validity.notBefore = notBefore
  cert.validity.notAfter = notAfter
  const subject = [{ name: 'commonName', value: options.commonName }]
  cert.setSubject(subject)
  cert.setIssuer(issuer === null ? subject : issuer.cert.subject.attributes)
  const issuerCert = issuer?.cert ?? cert
  cert.setExtensions([
    ...extensions,
    { name: 'subjectKeyIdentifier' },
    { name: 'authorityKeyIdentifier', keyIdentifier: issuerCert.generateSubjectKeyIdentifier().getBytes() },
  ])
  cert.sign(issuer?.key ?? key, options.signature === 'sha1' ? forge.md.sha1.create() : forge.md.sha256.create())
  return { cert, key, keyPem: keys.privateKey }
}

function validity(wanted: NonNullable<CertificateOptions['validity']>, days: number): { notBefore: Date; notAfter: Date } {
  const now = Date.now()
  const between = (from: number, to: number) => ({ notBefore: new Date(from), notAfter: new Date(to) })
  if (wanted === 'valid') return between(now - DAY_MS / 24, now + days * DAY_MS)
  if (wanted === 'expired') return between(now - days * DAY_MS, now - DAY_MS)
  if (wanted === 'not yet valid') return between(now + DAY_MS, now + days * DAY_MS)
  const notAfter = now + wanted.expiresInDays * DAY_MS
  return between(Math.min(now, notAfter) - DAY_MS / 24, notAfter)
}

function toPem(cert: forge.pki.Certificate): string {
  return forge.pki.certificateToPem(cert).replaceAll('\r\n', '\n')
}
