import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SecureVersion } from 'node:tls'
import pino from 'pino'
import { systemClock, type Clock } from '../../../src/pipeline/clock.ts'
import type { Sink } from '../../../src/pipeline/sink.ts'
import { makeAuthority, writePemFiles, type Authority, type Issued } from '../../../src/simulator/certificates.ts'
import { DevoReceiver, type DevoReceiverOptions } from '../../../src/simulator/devo-receiver.ts'
import type { DevoConfig } from '../../../src/sinks/devo/config.ts'
import { createDevoSink, type DevoSettings } from '../../../src/sinks/devo/sink.ts'

export const TAG = 'mail.proofpoint.tapsiem_v2.clicksblocked'

/** Keys take a while to make: one set for each test file. */
const pki = (async () => {
  const authority = await makeAuthority({ commonName: 'Test CA' })
  const [server, client] = await Promise.all([authority.issue({ commonName: 'receiver' }), authority.issue({ commonName: 'me', client: true })])
  return { authority, server, client }
})()

/** A receiver, the certificate files, and sinks that deliver there. */
export interface World {
  readonly receiver: DevoReceiver
  readonly authority: Authority
  readonly client: Issued
  /** Holds chain.crt, me.crt and me.key. */
  readonly folder: string
  config(over?: Partial<DevoConfig>): DevoConfig
  /** Closed with the world. */
  sink(over?: Partial<DevoConfig>, settings?: Partial<DevoSettings>): Sink
  close(): Promise<void>
}

export async function makeWorld(options: Partial<DevoReceiverOptions> & { readonly maxVersion?: SecureVersion; readonly clock?: Clock } = {}): Promise<World> {
  const { authority, server, client } = await pki
  const folder = await mkdtemp(join(tmpdir(), 'devo-sink-'))
  await writePemFiles(folder, { 'chain.crt': authority.certPem, 'me.crt': client.certPem, 'me.key': client.keyPem })
  const receiver = await new DevoReceiver({
    certificate: server, clientAuthority: authority.certPem, keepLines: true, strict: true, ...options,
  }).start()
  const sinks: Sink[] = []
  const world: World = {
    receiver, authority, client, folder,
    config: (over = {}) => ({
      address: 'localhost',
      port: receiver.port,
      chain: join(folder, 'chain.crt'),
      cert: join(folder, 'me.crt'),
      key: join(folder, 'me.key'),
      confirm: 'drain',
      // Shorter than a user's, but longer than any answer on loopback takes.
      quietMs: 40,
      probeMs: 40,
      drainTimeoutMs: 300,
      settleMs: 60,
      verifyHostname: true,
      allowWeakCertificates: false,
      ...over,
    }),
    sink: (over, settings) => {
      const sink = createDevoSink(world.config(over), {
        name: 'devo_1', clock: options.clock ?? systemClock, log: pino({ level: 'silent' }), hostName: 'collector-1', tagOf: () => TAG, ...settings,
      })
      sinks.push(sink)
      return sink
    },
    close: async () => {
      await Promise.all(sinks.map(async (sink) => sink.close()))
      await receiver.stop()
      await rm(folder, { recursive: true })
    },
  }
  return world
}

/** The JSON of a line that the receiver has kept. */
export function jsonOf(line: string): string {
  return line.slice(line.indexOf('{'))
}
