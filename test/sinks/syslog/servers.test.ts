import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import pino from 'pino'
import { describe, expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../../src/pipeline/clock.ts'
import { describeError } from '../../../src/pipeline/errors.ts'
import type { Sink } from '../../../src/pipeline/sink.ts'
import { makeAuthority } from '../../../src/simulator/certificates.ts'
import type { PeerConfig, TlsConfig } from '../../../src/sinks/proof/config.ts'
import { createSyslogSink } from '../../../src/sinks/syslog/sink.ts'
import { batchOf, batchesOf, eventually } from '../../contract/batches.ts'
import { shipAll, sinkContract, type SinkHarness } from '../../contract/sink-suite.ts'
import { isMissing, kill, makePlace } from '../../integration/receivers/programs.ts'
import { receiverCertificates } from '../../support/receiver-certificates.ts'
import { kinds, RSYSLOG_TCP, RSYSLOG_TLS, SYSLOG_NG_TCP, type ServerKind, type SyslogServer } from './servers.ts'

const { authority, certificate, client } = await receiverCertificates()
const PULLED_AT = 1_700_000_000_120
const TAG = 'mail.proofpoint.tapsiem_v2.clicksblocked'
const ID = `,"@devo_pulling_id":"${PULLED_AT}"}`
const HEAD = `14|2023-11-14T22:13:20.120Z|collector-1|ProofpointTAP|-|clicksBlocked|[tap@32473 input="12345" tag="${TAG}"]|`
/** In the words of syslog-ng. */
const HEAD_NG = HEAD.replace('Z|', '+00:00|').replace('|-|', '||')

async function tlsOf(kind: ServerKind, over: Partial<TlsConfig> = {}): Promise<TlsConfig | null> {
  if (!kind.tls) return null
  const place = await makePlace(authority, client)
  return { chain: place.ca, cert: place.cert, key: place.key, verifyHostname: true, allowWeakCertificates: false, ...over }
}

/** Times shorter than a user's, but longer than a server on a busy machine takes. */
function sinkTo(port: number, tls: TlsConfig | null, over: Partial<PeerConfig> = {}): Sink {
  return createSyslogSink(
    { address: '127.0.0.1', port, tls, confirm: 'drain', quietMs: 300, probeMs: 300, drainTimeoutMs: 10_000, settleMs: 300, ...over },
    { name: 'syslog_1', clock: systemClock, log: pino({ level: 'silent' }), hostName: 'collector-1', tagOf: () => TAG },
  )
}

async function worldOf(kind: ServerKind, over: Partial<PeerConfig> = {}, tls: Partial<TlsConfig> = {}): Promise<{ readonly server: SyslogServer; readonly sink: Sink }> {
  const server = await kind.start(authority, certificate)
  const sink = sinkTo(server.port, await tlsOf(kind, tls), over)
  onTestFinished(async () => sink.close())
  return { server, sink }
}

function event(n: number): string {
  return `{"id":"${n}","subject":"Grüße \\n 😀 %s \\"|","n":0.0,"filler":"${'x'.repeat((n * 37) % 4000)}"}`
}

const EVENTS = 1000
const MEGABYTE = `{"id":"large","filler":"${'ä'.repeat(512 * 1024)}"}`
const pull = { inputId: '12345', pulledAt: PULLED_AT }

describe.each(kinds)('to $name', (kind) => {
  test.skipIf(isMissing(kind.program))('every event arrives byte by byte, one of 1 MB among them, in one attempt', async () => {
    const { server, sink } = await worldOf(kind)
    const texts = Array.from({ length: EVENTS }, (_, n) => (n === EVENTS / 2 ? MEGABYTE : event(n)))
    await shipAll(sink, Array.from({ length: EVENTS / 100 }, (_, n) => batchOf(texts.slice(n * 100, n * 100 + 100), pull)))
    // syslog-ng has read them by then, and writes them in a thread of its own.
    await eventually(() => server.lines().length, (count) => count >= EVENTS, 20_000)
    const head = kind.program === 'syslog-ng' ? HEAD_NG : HEAD
    expect(server.lines().map(brief)).toEqual(texts.map((text) => brief(`${head}${text.slice(0, -1)}${ID}`)))
  })

  test.skipIf(isMissing(kind.program))('killed in the middle and started again, every event is there in the end', async () => {
    const { server, sink } = await worldOf(kind, { quietMs: 1000 })
    await sink.check(AbortSignal.timeout(20_000))
    const { ids, batches } = batchesOf('a', 500)
    const shipment = shipAll(sink, batches).then(() => 'delivered', describeError)
    await eventually(() => server.lines().length, (count) => count > 0, 20_000)
    await kill(server.running().child)
    expect(await shipment).toMatch(/^127\.0\.0\.1:\d+ (ended|reset) the connection/)
    await expect(shipAll(sink, batches)).rejects.toThrow('refuses connections')
    await server.restart()
    await shipAll(sink, batches)
    await eventually(() => idsOf(server).size, (count) => count >= ids.length, 20_000)
    expect(idsOf(server)).toEqual(new Set(ids))
  })
})

describe('over TLS', () => {
  test.skipIf(isMissing('rsyslogd'))('who has no accepted certificate, trusts nobody of the other side or has another name for it is told so', async () => {
    const server = await RSYSLOG_TLS.start(authority, certificate)
    const stranger = await makeAuthority({ commonName: 'Other root' })
    const foreign = await makePlace(stranger, await stranger.issue({ commonName: 'client', client: true }))
    const outcomes = await Promise.all([
      { cert: foreign.cert, key: foreign.key },
      { cert: null, key: null },
      { chain: foreign.ca },
      { chain: null },
    ].map(async (over) => {
      const sink = sinkTo(server.port, await tlsOf(RSYSLOG_TLS, over))
      onTestFinished(async () => sink.close())
      return shipAll(sink, batchesOf('a', 1).batches).then(() => 'delivered', describeError)
    }))
    expect(outcomes).toEqual([
      expect.stringMatching(/refused our client certificate|ended the connection|reset the connection/),
      expect.stringMatching(/refused a client without a certificate|ended the connection|reset the connection/),
      expect.stringContaining('ca.pem does not sign the endpoint\'s certificate; take the chain that belongs to it'),
      expect.stringContaining('no authority that this machine trusts signs the endpoint\'s certificate'),
    ])
    expect(server.lines()).toEqual([])
  })

  test.skipIf(isMissing('rsyslogd'))('new files count from the next connection', async () => {
    const server = await RSYSLOG_TLS.start(authority, certificate)
    const tls = await tlsOf(RSYSLOG_TLS)
    if (tls?.chain == null) throw new Error('no file')
    await writeFile(tls.chain, 'broken')
    const sink = sinkTo(server.port, tls)
    onTestFinished(async () => sink.close())
    await expect(sink.check(AbortSignal.timeout(20_000))).rejects.toThrow('is not a PEM certificate')
    await writeFile(tls.chain, authority.certPem)
    await shipAll(sink, batchesOf('a', 5).batches)
    expect(server.lines()).toHaveLength(5)
  })
})

/** docs/outputs.md says what a server must allow: this is why. */
describe('events above the limits that a server has by itself', () => {
  test.skipIf(isMissing('syslog-ng'))('syslog-ng ends the connection at a frame above 64 KiB: nothing counts as delivered', async () => {
    const server = await SYSLOG_NG_TCP.start(authority, certificate, { limits: 'its own' })
    const sink = sinkTo(server.port, null)
    onTestFinished(async () => sink.close())
    await expect(shipAll(sink, [batchOf([MEGABYTE], pull)])).rejects.toThrow(/(ended|reset) the connection/)
  })

  test.skipIf(isMissing('rsyslogd'))('rsyslog cuts what is above 8 KiB in pieces, and takes what follows 200,000 bytes for a part of it', async () => {
    const server = await RSYSLOG_TCP.start(authority, certificate, { limits: 'its own' })
    const sink = sinkTo(server.port, null)
    onTestFinished(async () => sink.close())
    const idsKept = () => server.lines().filter((line) => line.startsWith(HEAD) && line.endsWith('}')).map((line) => /"id":"(\w+)"/.exec(line)?.[1])
    await shipAll(sink, [batchOf([`{"id":"a","filler":"${'x'.repeat(20_000)}"}`, '{"id":"b"}'], pull)])
    expect(idsKept()).toEqual(['b'])
    await shipAll(sink, [batchOf([`{"id":"c","filler":"${'x'.repeat(200_000)}"}`, '{"id":"d"}'], pull)])
    expect(idsKept()).toEqual(['b'])
  })
})

function harnessOf(kind: ServerKind): () => Promise<SinkHarness> {
  return async () => {
    const server = await kind.start(authority, certificate)
    const tls = await tlsOf(kind)
    return {
      createSink: () => sinkTo(server.port, tls, { quietMs: 100, probeMs: 100, drainTimeoutMs: 1_000 }),
      received: () => server.lines().map(jsonOf),
      faults: [
        // A TLS handshake hangs for 10 s.
        ...(kind.tls ? [] : [{
          name: 'stalls', effect: 'hangs' as const,
          begin: () => void server.running().child.kill('SIGSTOP'),
          heal: () => void server.running().child.kill('SIGCONT'),
        }]),
        { name: 'is away', effect: 'fails', begin: async () => kill(server.running().child), heal: async () => server.restart() },
      ],
      close: async () => kill(server.running().child),
    }
  }
}

if (!isMissing('rsyslogd')) {
  sinkContract(RSYSLOG_TCP.name, harnessOf(RSYSLOG_TCP), ['stalls', 'is away'])
  sinkContract(RSYSLOG_TLS.name, harnessOf(RSYSLOG_TLS), ['is away'])
}

/** Of a long line what is readable, and a hash of the whole. */
function brief(line: string): string {
  return `${line.slice(0, 250)} ${line.length} ${createHash('md5').update(line).digest('hex')}`
}

function jsonOf(line: string): string {
  return line.slice(line.indexOf('{'))
}

function idsOf(server: SyslogServer): Set<string> {
  return new Set(server.lines().map((line) => /"id":"([^"]+)"/.exec(line)?.[1] ?? ''))
}
