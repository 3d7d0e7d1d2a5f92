import { describe, expect, it, onTestFinished } from 'vitest'
import { makeAuthority } from '../../../src/simulator/certificates.ts'
import { receiverCertificates } from '../../support/receiver-certificates.ts'
import { DEAD_BACKENDS, deadBackend } from './backends.ts'
import { eventually, isCloseNotify, talk, wiretap } from './plain-client.ts'
import { isMissing, makePlace, startProgram } from './programs.ts'
import { receivers, terminators } from './receivers.ts'

/*
 * What receivers that nobody here wrote do, seen with a plain TLS client. This is the ground on which the proof of delivery stands: where
 * one of these fails, the rules in sinks/proof no longer fit the world.
 */

const { authority, certificate, client } = await receiverCertificates()

const CLEAN = ['secureConnect', 'finish', 'end', 'close false']
const lines = Array.from({ length: 2000 }, (_, n) =>
  `<14>2026-11-24 10:00:00.123 host-1 mail.proofpoint.tapsiem_v2.clicksblocked: {"id":"${n}","subject":"Grüße \\n ${'x'.repeat(n % 300)}"}`)

describe.each(receivers)('$name', ({ program, start, sendsCloseNotify }) => {
  it.skipIf(isMissing(program)).each(['TLSv1.2', 'TLSv1.3'] as const)('takes every line over %s and ends its side after ours', async (version) => {
    const receiver = await start(authority, certificate)
    const tap = await wiretap(receiver.port)
    onTestFinished(tap.close)
    expect(await talk({ port: tap.port, authority, client, lines, minVersion: version, maxVersion: version })).toEqual(CLEAN)
    expect(isCloseNotify(tap.lastRecord()), `last record ${JSON.stringify(tap.lastRecord())}`).toBe(sendsCloseNotify)
    await eventually(async () => (await receiver.lines()).length >= lines.length, 'all lines')
    expect(await receiver.lines()).toEqual(lines)
  })

  it.skipIf(isMissing(program))('refuses a client without an accepted certificate, and nothing arrives', async () => {
    const receiver = await start(authority, certificate)
    const stranger = await (await makeAuthority({ commonName: 'Other root' })).issue({ commonName: 'client', client: true })
    for (const credentials of [{ client: stranger }, { client, key: undefined, cert: undefined }]) {
      const seen = await talk({ port: receiver.port, authority, lines: lines.slice(0, 1), ...credentials })
      expect(seen).not.toContain('timeout')
    }
    // The good one comes last: what had come before it would be there too.
    await talk({ port: receiver.port, authority, client, lines: ['last'] })
    await eventually(async () => (await receiver.lines()).length > 0, 'the last line')
    expect(await receiver.lines()).toEqual(['last'])
  })
})

describe.each(terminators)('$name before a dead backend', ({ program, startBefore }) => {
  it.skipIf(isMissing(program)).each(DEAD_BACKENDS)('that %s: what looks like a success, but no line arrived', async (kind) => {
    const backend = await deadBackend(kind)
    const receiver = await startBefore(backend, authority, certificate)
    const began = performance.now()
    const seen = await talk({ port: receiver.port, authority, client, lines: lines.slice(0, 200) })
    // stunnel resets where its backend does: the one that tells, but not always.
    if (program === 'stunnel' && seen.at(-1) === 'close true') expect(seen).toContain('error ECONNRESET')
    else expect(inOrder(seen)).toEqual(CLEAN)
    // Three retries, a second apart: longer than the quiet time of a shipment, which is why there is a longer probe.
    if (program === 'haproxy' && kind === 'does not listen') expect(performance.now() - began).toBeGreaterThan(2500)
    expect(backend.lines()).toEqual([])
  })
})

describe('openssl s_server', () => {
  it.skipIf(isMissing('openssl'))('refuses a client certificate with an error, then an end, and hadError=false', async () => {
    const place = await makePlace(authority, certificate)
    const server = await startProgram('openssl', place, '', () =>
      ['s_server', '-accept', `127.0.0.1:${place.port}`, '-cert', place.cert, '-key', place.key, '-CAfile', place.ca, '-Verify', '1', '-verify_return_error', '-quiet'])
    const stranger = await (await makeAuthority({ commonName: 'Other root' })).issue({ commonName: 'client', client: true })
    const seen = await talk({ port: server.port, authority, client: stranger, quietMs: null })
    expect(inOrder(seen)).toEqual(['secureConnect', 'finish', 'end', 'error ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 'close false'])
    expect(seen.indexOf('end')).toBeGreaterThan(seen.findIndex((what) => what.startsWith('error')))
  })
})

/** Which of 'finish' and 'end' comes first is a race where the peer does not wait for our end. */
function inOrder(seen: readonly string[]): string[] {
  const known = ['secureConnect', 'finish', 'end']
  const rank = (what: string) => (known.includes(what) ? known.indexOf(what) : known.length)
  return [...seen].sort((a, b) => rank(a) - rank(b))
}
