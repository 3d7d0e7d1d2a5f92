import { type Authority, type Issued, makeAuthority } from '../../src/simulator/certificates.ts'

export interface ReceiverCertificates {
  readonly authority: Authority
  /** The receiver's own, and one of a client that it takes. */
  readonly certificate: Issued
  readonly client: Issued
}

/** For a receiver on loopback that asks for client certificates: all signed by one authority. */
export async function receiverCertificates(): Promise<ReceiverCertificates> {
  const authority = await makeAuthority({ commonName: 'Test root' })
  const [certificate, client] = await Promise.all([authority.issue({ commonName: 'receiver' }), authority.issue({ commonName: 'client', client: true })])
  return { authority, certificate, client }
}
