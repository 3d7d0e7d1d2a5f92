import { basename } from 'node:path'
import type { CodeName } from '../../pipeline/codes.ts'
import { RetryableError } from '../../pipeline/errors.ts'
import type { TlsConfig } from './config.ts'
import { explainNetworkError } from './network-errors.ts'
import type { Address } from './opening.ts'

/** What the messages name. */
export type Endpoint = Address & Pick<TlsConfig, 'chain' | 'cert'>

/** TLS alerts by which a peer refuses a client certificate: what they say, in words. */
const REFUSALS: Readonly<Record<string, string>> = {
  CERTIFICATE_REQUIRED: 'it asks for one and did not accept this one',
  UNKNOWN_CA: 'its issuer is not one that the endpoint trusts',
  CERTIFICATE_EXPIRED: 'it has expired',
  CERTIFICATE_REVOKED: 'it was revoked',
  CERTIFICATE_UNKNOWN: 'no reason was given',
  BAD_CERTIFICATE: 'it is damaged or was not accepted',
  UNSUPPORTED_CERTIFICATE: 'its kind or purpose is not accepted',
  ACCESS_DENIED: 'access denied',
  DECRYPT_ERROR: 'its signature was not accepted',
  HANDSHAKE_FAILURE: 'or no common cipher was found (handshake failure)',
}

/** Why Node (OpenSSL) did not accept the peer's certificate. */
function distrust(code: string, { address, chain }: Endpoint): string | null {
  const orOneIn = chain === null ? '' : ` (or one in ${basename(chain)})`
  switch (code) {
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'CERT_SIGNATURE_FAILURE':
    case 'CERT_UNTRUSTED':
      return chain === null
        ? "no authority that this machine trusts signs the endpoint's certificate; name the file with the one that does"
        : `${basename(chain)} does not sign the endpoint's certificate; take the chain that belongs to it`
    case 'CERT_HAS_EXPIRED':
      return `the endpoint's certificate${orOneIn} has expired; if it has not, this machine's clock is wrong`
    case 'CERT_NOT_YET_VALID':
      return `the endpoint's certificate${orOneIn} is not yet valid; is this machine's clock right?`
    case 'CERT_REVOKED':
      return "the endpoint's certificate was revoked"
    case 'INVALID_PURPOSE':
      return "the endpoint's certificate is not one for a server"
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return `the endpoint's certificate is not for ${address}`
    default:
      return null
  }
}

/** A peer that leaves without a word during the handshake. */
export function endedInHandshake({ address, port, cert }: Endpoint, cause?: Error): RetryableError {
  const why = cert === null ? 'want a client certificate' : `do not accept the client certificate (${basename(cert)})`
  return new RetryableError(`${address}:${port} ended the connection during the TLS handshake, as some do that ${why}`, { code: 'TlsHandshakeEnded', cause })
}

/** Says in words what an error of the connection means, with the file or the peer at fault. */
export function explainTlsError(error: Error, endpoint: Endpoint, stage: 'connecting' | 'handshake' | 'open'): RetryableError {
  const { address, port, chain, cert } = endpoint
  const where = `${address}:${port}`
  const code = codeOf(error)
  const say = (message: string, code: CodeName): RetryableError => new RetryableError(`${where}: ${message}`, { code, cause: error })

  if (code === 'ECONNRESET' || code === 'EPIPE') {
    if (stage === 'handshake') return endedInHandshake(endpoint, error)
    const own = cert === null ? 'a client without a certificate' : `the client certificate ${basename(cert)}`
    const hint = `; where it does so every time, it may not accept ${own}`
    return new RetryableError(`${where} reset the connection${stage === 'open' ? hint : ''}`, { code: 'PeerReset', cause: error })
  }
  const network = explainNetworkError(error, endpoint)
  if (network !== null) return network
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return say(`${wrongName(error, address)}; verify_hostname: false takes it all the same`, 'PeerNotTrusted')
  const distrusted = distrust(code, endpoint)
  if (distrusted !== null) return say(distrusted, 'PeerNotTrusted')
  // Node knows no code for these (`UNSPECIFIED`).
  if (/too (weak|small)/.test(error.message)) {
    const orOneIn = chain === null ? '' : ` (or one in ${basename(chain)})`
    return say(`the endpoint's certificate${orOneIn} is too weak for TLS today; allow_weak_certificates: true takes it all the same`, 'PeerNotTrusted')
  }
  if (/UNSUPPORTED_PROTOCOL|PROTOCOL_VERSION|VERSION_TOO_LOW/.test(code)) return say('the endpoint speaks no TLS 1.2 or later', 'TlsFailed')
  if (/WRONG_VERSION_NUMBER|UNKNOWN_PROTOCOL|HTTP_REQUEST|PACKET_LENGTH_TOO_LONG|RECORD_LAYER|UNEXPECTED_MESSAGE/.test(code)) {
    return say('what answers there does not speak TLS; is the port right?', 'TlsFailed')
  }
  const alert = /ALERT_(?:NUMBER_\d+_)?([A-Z_]+)$/.exec(code)?.[1]
  if (alert !== undefined && alert in REFUSALS) {
    if (cert === null) return say(`the endpoint refused a client without a certificate (${alert.toLowerCase().replaceAll('_', ' ')})`, 'ClientCertificateRefused')
    return say(`the endpoint refused our client certificate ${basename(cert)} (${REFUSALS[alert] ?? ''})`, 'ClientCertificateRefused')
  }
  if (alert !== undefined) return say(`the endpoint refused the connection (${alert.toLowerCase().replaceAll('_', ' ')})`, 'TlsFailed')
  return say('the TLS connection failed', 'TlsFailed')
}

/** Node's error brings the certificate that was seen. */
function wrongName(error: Error, address: string): string {
  const certificate: unknown = 'cert' in error ? error.cert : null
  const names =
    typeof certificate === 'object' && certificate !== null && 'subjectaltname' in certificate && typeof certificate.subjectaltname === 'string'
      ? certificate.subjectaltname.replace(/(DNS|IP Address):/g, '')
      : 'another name'
  return `the endpoint's certificate is for ${names}, not for ${address}`
}

/** Some of OpenSSL's errors have their reason in the text alone: `write EPROTO ...:SSL routines:tls_...:tlsv1 alert protocol version:...`. */
function codeOf(error: Error): string {
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  if (code !== 'EPROTO' && code !== '') return code
  return error.message.replaceAll(' ', '_').toUpperCase()
}
