import type { KafkaConnection } from '../../src/kafka/client.ts'
import { makeAuthority, type Authority } from '../../src/simulator/certificates.ts'

export type Protocol = 'PLAINTEXT' | 'SSL' | 'SASL_SSL' | 'SASL_PLAINTEXT'

/** The one user of a broker that demands SASL, by any of its mechanisms. */
const USER = { username: 'tap', password: 'tap-broker-secret' } as const

export interface Security {
  /** Lines of server.properties for a listener named CLIENT. */
  readonly properties: Readonly<Record<string, string>>
  /** Lines for StorageTool's --add-scram. */
  readonly scram: readonly string[]
  /** What a client needs beside the addresses. */
  readonly connection: Omit<KafkaConnection, 'brokers'>
  /** Signed the broker's certificate, and clients' certificates count if it signed them. Null without TLS. */
  readonly authority: Authority | null
}

/** What `protocol` takes on both sides; the certificate is for localhost and its addresses. */
export async function makeSecurity(protocol: Protocol): Promise<Security> {
  const tls = protocol.endsWith('SSL') ? await makeTls() : { properties: {}, ssl: false as const, authority: null }
  const sasl = protocol.startsWith('SASL') ? SASL : { properties: {}, scram: [], sasl: null }
  return {
    properties: { ...tls.properties, ...sasl.properties },
    scram: sasl.scram,
    connection: { ssl: tls.ssl, sasl: sasl.sasl },
    authority: tls.authority,
  }
}

async function makeTls() {
  const authority = await makeAuthority({ commonName: 'Authority of a test broker' })
  const { chainPem, keyPem } = await authority.issue({ commonName: 'Test broker' })
  return {
    authority,
    ssl: { ca: authority.certPem },
    properties: {
      'ssl.keystore.type': 'PEM',
      'ssl.keystore.certificate.chain': inOneLine(chainPem),
      'ssl.keystore.key': inOneLine(keyPem),
      'ssl.truststore.type': 'PEM',
      'ssl.truststore.certificates': inOneLine(authority.certPem),
    },
  }
}

/** A properties file has one line for each value. */
function inOneLine(pem: string): string {
  return pem.trim().replaceAll('\r', '').replaceAll('\n', '\\n')
}

const SCRAM_MODULE = 'org.apache.kafka.common.security.scram.ScramLoginModule required;'
const PLAIN_MODULE = `org.apache.kafka.common.security.plain.PlainLoginModule required user_${USER.username}="${USER.password}";`
const SASL = {
  sasl: { mechanism: 'scram-sha-512', ...USER },
  scram: ['SCRAM-SHA-256', 'SCRAM-SHA-512'].map((mechanism) => `${mechanism}=[name=${USER.username},password=${USER.password}]`),
  properties: {
    'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
    'listener.name.client.plain.sasl.jaas.config': PLAIN_MODULE,
    'listener.name.client.scram-sha-256.sasl.jaas.config': SCRAM_MODULE,
    'listener.name.client.scram-sha-512.sasl.jaas.config': SCRAM_MODULE,
  },
} as const
