import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import pino from 'pino'
import { describe, expect, it, onTestFinished } from 'vitest'
import { systemClock } from '../../../src/pipeline/clock.ts'
import { type Batch, FINGERPRINT_BYTES } from '../../../src/pipeline/event.ts'
import { describeError } from '../../../src/pipeline/errors.ts'
import type { Sink } from '../../../src/pipeline/sink.ts'
import { type Issued, makeAuthority, writePemFiles } from '../../../src/simulator/certificates.ts'
import { receiverCertificates } from '../../support/receiver-certificates.ts'
import { parseDevoLine } from '../../../src/simulator/devo-line.ts'
import { createDevoSink } from '../../../src/sinks/devo/sink.ts'
import { DEAD_BACKENDS, deadBackend, livingBackend } from './backends.ts'
import { eventually } from './plain-client.ts'
import { isMissing, kill, makePlace } from './programs.ts'
import { type Receiver, receivers, terminators } from './receivers.ts'

const EVENTS = 2000
const EVENTS_PER_BATCH = 100
const PULLED_AT = Date.UTC(2026, 10, 24, 10)
const TAG = 'mail.proofpoint.tapsiem_v2.clicksblocked'
/** HAProxy tells of a dead backend after 3 s; the default probe is 5 s for that. */
const PROBE_MS = 4000
/** The two ways in which the sink learns that the peer has gone with our events. */
const LOST = /^127\.0\.0\.1:\d+ (ended|reset) (the connection|its side late)/
const REFUSED = /^127\.0\.0\.1:\d+( (ended|reset) the connection|: the endpoint refused our client certificate)/

const { authority, certificate, client } = await receiverCertificates()

interface Options {
  readonly quietMs?: number
  readonly probeMs?: number
  readonly credentials?: Issued
}

async function sinkTo(receiver: Receiver, { quietMs = 300, probeMs = 300, credentials = client }: Options = {}): Promise<Sink> {
  const { folder } = await makePlace(authority, credentials)
  await writePemFiles(folder, { 'chain.crt': authority.certPem, 'me.crt': credentials.chainPem, 'me.key': credentials.keyPem })
  const sink = createDevoSink({
    address: '127.0.0.1', port: receiver.port, chain: `${folder}/chain.crt`, cert: `${folder}/me.crt`, key: `${folder}/me.key`, confirm: 'drain',
    quietMs, drainTimeoutMs: 10_000, probeMs, settleMs: 10_000, verifyHostname: true, allowWeakCertificates: false,
  }, { name: 'devo_1', clock: systemClock, log: pino({ level: 'silent' }), hostName: 'host-1', tagOf: () => TAG })
  onTestFinished(async () => sink.close())
  return sink
}

function event(n: number): string {
  return `{"id":"${n}","subject":"Grüße \\n","filler":"${'x'.repeat((n * 37) % 4000)}"}`
}

function batches(): Batch[] {
  return Array.from({ length: EVENTS / EVENTS_PER_BATCH }, (_, index) => ({
    inputId: '12345', service: 'clicksBlocked', pulledAt: PULLED_AT, environment: null,
    lines: new TextEncoder().encode(Array.from({ length: EVENTS_PER_BATCH }, (_, n) => `${event(index * EVENTS_PER_BATCH + n)}\n`).join('')),
    fingerprints: new Uint8Array(EVENTS_PER_BATCH * FINGERPRINT_BYTES),
  }))
}

/** One attempt: resolves where the sink takes the events (all of them, or the first few) for delivered. */
async function ship(sink: Sink, size: 'all' | 'few' = 'all'): Promise<void> {
  const reject = (): never => expect.unreachable('no event is refused')
  await pipeline(Readable.from(size === 'all' ? batches() : batches().slice(0, 1)), sink.ship({ signal: AbortSignal.timeout(20_000), reject }))
}

describe.each(receivers)('to $name', ({ program, start }) => {
  it.skipIf(isMissing(program))('every event is delivered whole in one attempt', async () => {
    const receiver = await start(authority, certificate)
    const sink = await sinkTo(receiver)
    await sink.check(AbortSignal.timeout(20_000))
    await ship(sink)
    // A healthy terminator may end our side while its backend is still reading.
    await eventually(async () => (await receiver.lines()).length >= EVENTS, 'all events to arrive')
    const parsed = (await receiver.lines()).map((line) => parseDevoLine(Buffer.from(line)))
    expect(parsed.filter((line) => typeof line === 'string')).toEqual([])
    expect(parsed.map((line) => (typeof line === 'string' ? null : [line.date, line.host, line.tag, line.json]))).toEqual(
      Array.from({ length: EVENTS }, (_, n) => [PULLED_AT, 'host-1', TAG, `${event(n).slice(0, -1)},"@devo_pulling_id":"${PULLED_AT}"}`]))
  })

  it.skipIf(isMissing(program))('a refused client certificate is never a delivery', async () => {
    const receiver = await start(authority, certificate)
    const credentials = await (await makeAuthority({ commonName: 'Other root' })).issue({ commonName: 'client', client: true })
    const sink = await sinkTo(receiver, { credentials })
    await expect(sink.check(AbortSignal.timeout(20_000))).rejects.toThrow(REFUSED)
    await expect(ship(sink)).rejects.toThrow(REFUSED)
    expect(await receiver.lines()).toEqual([])
  })
})

describe.each(terminators)('to $name', ({ program, startBefore }) => {
  it.skipIf(isMissing(program)).each(DEAD_BACKENDS)('before a backend that %s, nothing is ever delivered', async (kind) => {
    const receiver = await startBefore(await deadBackend(kind), authority, certificate)
    // A backend that dies of the first byte is well as long as none comes, so that no probe can tell.
    const diesOfData = kind === 'resets at the first byte' || kind === 'closes at the first byte'
    const sink = await sinkTo(receiver, program === 'haproxy' && !diesOfData ? { probeMs: PROBE_MS } : {})
    const check = expect(sink.check(AbortSignal.timeout(20_000)))
    await Promise.all([
      diesOfData ? check.resolves.toBeUndefined() : check.rejects.toThrow(LOST),
      expect(ship(sink)).rejects.toThrow(LOST),
      // These fit into everybody's buffers.
      expect(ship(sink, 'few')).rejects.toThrow(LOST),
    ])
    if (diesOfData) await expect(ship(sink, 'few'), 'nor in another attempt').rejects.toThrow(LOST)
  })

  it.skipIf(isMissing(program))('killed with -9 after it has passed on every event, the shipment is not delivered', async () => {
    const backend = await livingBackend()
    const receiver = await startBefore(backend, authority, certificate)
    const sink = await sinkTo(receiver, { quietMs: 1000, probeMs: PROBE_MS })
    await sink.check(AbortSignal.timeout(20_000))
    const shipment = expect(ship(sink)).rejects.toThrow(LOST)
    await eventually(() => backend.lines().length === EVENTS, 'all events to arrive')
    await kill(receiver.child)
    await shipment
  })

  it.skipIf(isMissing(program))('before a backend that has died since the probe', async () => {
    const backend = await livingBackend()
    const receiver = await startBefore(backend, authority, certificate)
    const sink = await sinkTo(receiver, { quietMs: 1000, probeMs: PROBE_MS })
    await sink.check(AbortSignal.timeout(20_000))
    await backend.stop()
    const outcome = await ship(sink, 'few').then(() => 'delivered', describeError)
    // HAProxy tries for 3 s to reach its backend, longer than the quiet time, while its buffers and the kernel's hold some megabytes for it,
    // and then ends cleanly: only the late end and the probe behind it tell.
    expect(outcome).toMatch(LOST)
    expect(backend.lines()).toEqual([])
  })
})
