import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto'
import { DAY_MS } from '../pipeline/time.ts'
import { readPem, type NamedFile } from './certificate-files.ts'
import type { Context } from './component.ts'
import type { Report } from './report.ts'

/** A client certificate that expires sooner is a warning. */
const EXPIRES_SOON_MS = 30 * DAY_MS
const CERTIFICATE = /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----[^-]*-----END (?:X509 |TRUSTED )?CERTIFICATE-----/g
const ANY_KEY = /-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----/
const ENCRYPTED_KEY = /-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: *4,ENCRYPTED/

export interface ClientFiles {
  readonly chain: NamedFile | null
  readonly cert: NamedFile | null
  readonly key: NamedFile | null
}

/** Looks at what a TLS client presents and trusts. Null: that key is wrong already and was reported. */
export function checkClientCertificate({ chain, cert, key }: ClientFiles, { report, now }: Context): void {
  if (chain !== null) checkAuthorities(chain, report, now)
  const certificates = cert === null ? null : readClientCertificates(cert, report, now)
  const privateKey = key === null ? null : readPrivateKey(key, report)
  if (certificates === null || privateKey === null || cert === null || key === null) return
  const own = certificates.findIndex((certificate) => certificate.checkPrivateKey(privateKey))
  if (own > 0)
    report.problem(
      cert.path,
      `${cert.label} does not begin with the certificate of the key; ` +
        'put your own certificate first and those of authorities behind it',
    )
  if (own !== -1) return
  report.problem(
    key.path,
    `${key.label} does not match the certificate ${cert.label === cert.file ? cert.file : 'that is named beside it'}; ` +
      'both must come from the same download',
  )
}

/** A file with the authorities that are trusted: at least one certificate in it must be an authority and valid now. */
export function checkAuthorities(named: NamedFile, report: Report, now: number): void {
  const certificates = readCertificates(named, report)
  if (certificates === null) return
  const { path, label } = named
  const authorities = certificates.filter(({ ca, issuer, subject }) => ca || issuer === subject)
  if (authorities.length === 0) {
    report.problem(
      path,
      `${label} holds no certificate of an authority (CA) but one of ${subjectOf(certificates[0])}; it must be the chain`,
    )
    return
  }
  const wrong = authorities.map((certificate) => ({ certificate, time: outOfTime(certificate, now) })).filter(({ time }) => time !== null)
  const all = wrong.length === authorities.length
  for (const { certificate, time } of wrong) {
    const message = `${label}: the certificate of the authority ${subjectOf(certificate)} ${time ?? ''}`
    if (all) report.problem(path, message)
    else report.warning(path, message)
  }
}

function readClientCertificates(named: NamedFile, report: Report, now: number): readonly X509Certificate[] | null {
  const certificates = readCertificates(named, report)
  const certificate = certificates?.[0]
  if (certificate === undefined) return null
  const { path, label } = named
  const time = outOfTime(certificate, now)
  if (time !== null) report.problem(path, `${label}: the certificate ${time}`)
  const left = certificate.validToDate.getTime() - now
  if (time === null && left < EXPIRES_SOON_MS) {
    const days = Math.floor(left / DAY_MS)
    const when = `${days === 1 ? '1 day' : `${days} days`} (${day(certificate.validToDate)})`
    report.warning(path, `${label}: the certificate expires in ${when}; replace the files before then`)
  }
  return certificates
}

function readCertificates(named: NamedFile, report: Report): readonly X509Certificate[] | null {
  const text = readPem(named, report)
  if (text === null) return null
  const { path, label } = named
  const blocks = text.match(CERTIFICATE) ?? []
  if (blocks.length === 0) {
    const swapped = ANY_KEY.test(text)
      ? 'holds a private key and no certificate; are cert and key swapped?'
      : `is no certificate in PEM format (a text that begins with -----BEGIN CERTIFICATE-----)`
    report.problem(path, `${label} ${swapped}`)
    return null
  }
  try {
    return blocks.map((block) => new X509Certificate(block))
  } catch {
    report.problem(path, `${label} holds a certificate that cannot be read; it is damaged or cut short`)
    return null
  }
}

function readPrivateKey(named: NamedFile, report: Report): KeyObject | null {
  const text = readPem(named, report)
  if (text === null) return null
  const { path, label } = named
  if (ENCRYPTED_KEY.test(text)) {
    report.problem(path, `${label} is encrypted; take the passphrase off with: openssl pkey -in encrypted.key -out plain.key`)
    return null
  }
  if (!ANY_KEY.test(text)) {
    const swapped =
      text.match(CERTIFICATE) === null
        ? 'is no private key in PEM format (a text that begins with -----BEGIN PRIVATE KEY-----)'
        : 'holds a certificate and no private key; are cert and key swapped?'
    report.problem(path, `${label} ${swapped}`)
    return null
  }
  try {
    return createPrivateKey(text)
  } catch {
    report.problem(path, `${label} holds a private key that cannot be read; it is damaged or cut short`)
    return null
  }
}

/** What is wrong with its time, completing `the certificate ...`, or null. */
function outOfTime({ validFromDate, validToDate }: X509Certificate, now: number): string | null {
  if (validToDate.getTime() <= now) return `has expired on ${day(validToDate)}; get a new one`
  if (validFromDate.getTime() > now) return `is not valid before ${day(validFromDate)}; is the clock of this machine right?`
  return null
}

function subjectOf(certificate: X509Certificate | undefined): string {
  return (
    certificate?.subject
      .split('\n')
      .find((line) => line.startsWith('CN='))
      ?.slice(3) ?? 'somebody else'
  )
}

function day(date: Date): string {
  return date.toISOString().slice(0, 10)
}
