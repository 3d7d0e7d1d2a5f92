import { describe, expect, it, onTestFinished } from 'vitest'
import { makeAuthority } from '../../src/simulator/certificates.ts'
import { receiverCertificates } from '../support/receiver-certificates.ts'
import { behaviours } from '../../src/simulator/devo-behaviours.ts'
import { DevoReceiver, type DevoReceiverOptions } from '../../src/simulator/devo-receiver.ts'
import { digestLines } from '../../src/simulator/devo-tally.ts'
import { type Talk, isCloseNotify, talk, wiretap } from '../integration/receivers/plain-client.ts'

const { authority, certificate, client } = await receiverCertificates()

async function receiver(options: Partial<DevoReceiverOptions> = {}): Promise<DevoReceiver> {
  const made = new DevoReceiver({ certificate, clientAuthority: authority.certPem, ...options })
  onTestFinished(async () => made.stop())
  return made.start()
}

async function send(to: DevoReceiver, options: Partial<Talk> = {}): Promise<string[]> {
  return talk({ port: to.port, authority, client, ...options })
}

/** Order-free, for cases in which the two sides race. */
async function sendSorted(to: DevoReceiver, options: Partial<Talk> = {}): Promise<string[]> {
  return (await send(to, options)).sort()
}

const TAG = 'mail.proofpoint.tapsiem_v2.clicksblocked'
const line = (n: number, tag = TAG) => `<14>2026-11-24 10:00:00.123 host-1 ${tag}: {"id":"${n}","@devo_pulling_id":"1795514400123"}`
const lines = (count: number) => Array.from({ length: count }, (_, n) => line(n))
/** What an uncritical client takes for success. */
const LOOKS_DELIVERED = ['close false', 'end', 'finish', 'secureConnect']

describe.each(['TLSv1.2', 'TLSv1.3'] as const)('a healthy receiver, %s', (version) => {
  it('receives whole lines and ends its side with a close_notify after ours', async () => {
    const healthy = await receiver({ minVersion: version, maxVersion: version, keepLines: true })
    const tap = await wiretap(healthy.port)
    onTestFinished(tap.close)
    expect(await talk({ port: tap.port, authority, client, lines: lines(2000) })).toEqual(['secureConnect', 'finish', 'end', 'close false'])
    expect(healthy.events).toBe(2000)
    expect(healthy.tally.lines).toEqual(lines(2000))
    expect(tap.lastRecord()).toSatisfy(isCloseNotify)
    await healthy.until(() => healthy.openConnections === 0)
  })

  it('speaks that version alone', async () => {
    const healthy = await receiver({ minVersion: version, maxVersion: version })
    const other = version === 'TLSv1.2' ? 'TLSv1.3' : 'TLSv1.2'
    expect(await send(healthy, { minVersion: other, maxVersion: other })).not.toContain('secureConnect')
  })

  it('accepts only clients of its authority', async () => {
    const strict = await receiver({ minVersion: version, maxVersion: version })
    const stranger = await (await makeAuthority({ commonName: 'Other root' })).issue({ commonName: 'client', client: true })
    const seen = await send(strict, { client: stranger, lines: [line(1)] })
    // The trap: under TLS 1.3 the client's side of the handshake is over before the server has looked at the certificate.
    expect(seen.includes('secureConnect')).toBe(version === 'TLSv1.3')
    expect(strict.connections).toEqual({ accepted: 1, secured: 0, refused: 1, withData: 0 })
    expect(strict.events).toBe(0)
    const without = await send(strict, { key: undefined, cert: undefined, lines: [line(1)] })
    expect(without.includes('secureConnect')).toBe(version === 'TLSv1.3')
    expect(strict.connections.refused).toBe(2)
    expect(strict.events).toBe(0)
  })
})

describe('counting', () => {
  it('takes lines across writes and multi-byte characters', async () => {
    const healthy = await receiver({ keepLines: true })
    const long = line(1).replace('"1"', `"${'ü'.repeat(300_000)}"`)
    await send(healthy, { lines: [`${long}\n${line(2)}`, line(3)] })
    expect(healthy.tally.lines).toEqual([long, line(2), line(3)])
    expect(healthy.tally.bytes).toBe([long, line(2), line(3)].reduce((sum, text) => sum + Buffer.byteLength(text) + 1, 0))
  })

  it('does not count a line whose connection ended inside it', async () => {
    const healthy = await receiver()
    await send(healthy, { lines: [line(1)], unfinished: line(2) })
    expect(healthy.events).toBe(1)
    await healthy.until(() => healthy.openConnections === 0)
    expect(healthy.unfinishedBytes).toBe(line(2).length)
  })

  it('counts by tag, gives each line to its caller, and has a digest that does not depend on the order', async () => {
    const heard: string[] = []
    const healthy = await receiver({ digest: true, onLine: (text) => heard.push(text.toString()) })
    const sent = [line(1), line(2, 'a.b.c.d'), line(3), 'no tag at all']
    await send(healthy, { lines: sent })
    expect(heard).toEqual(sent)
    expect([...healthy.tally.tags].map(([tag, count]) => [tag, count.events])).toEqual([[TAG, 2], ['a.b.c.d', 1], ['', 1]])
    expect(healthy.tally.tags.get(TAG)?.bytes).toBe(2 * (line(1).length + 1))
    expect(healthy.tally.digest).toBe(digestLines([...sent].reverse()))
    expect(healthy.tally.digest).not.toBe(digestLines([...sent, line(1)]))
    healthy.tally.forget()
    expect([healthy.events, healthy.tally.bytes, healthy.tally.tags.size, healthy.tally.digest]).toEqual([0, 0, 0, digestLines([])])
  })

  it('says what is wrong with a line when strict', async () => {
    const strict = await receiver({ strict: true })
    const good = line(1)
    await send(strict, { lines: [good, line(2, 'mail.proofpoint'), good.replace('<14>', '<13>'), good.replace('11-24 ', '02-30 '), good.replace('}', ''), `${good}\r`, ''] })
    expect(strict.events).toBe(7)
    expect(strict.tally.violationCount).toBe(6)
    expect(strict.tally.violations.map((text) => text.slice(0, 60))).toEqual([
      expect.stringContaining('line 2: not a tag of 4 to 8 levels: mail.proofpoint'),
      expect.stringContaining('line 3: not of the form'),
      expect.stringContaining('line 4: no such date'),
      expect.stringContaining('line 5: not of the form'),
      expect.stringContaining('line 6: not of the form'),
      expect.stringContaining('line 7: not of the form'),
    ])
  })
})

describe('false proofs: the client sees a success, the lines are lost', () => {
  it.each([0, 1])('a refused client certificate under TLS 1.3, %i lines sent', async (count) => {
    const refusing = await receiver({ minVersion: 'TLSv1.3', behaviour: behaviours.refuseClient() })
    expect(await sendSorted(refusing, { lines: lines(count) })).toEqual(LOOKS_DELIVERED)
    expect(refusing.events).toBe(0)
  })

  it.each(['TLSv1.2', 'TLSv1.3'] as const)('a bare FIN before anything was read, %s', async (maxVersion) => {
    const lying = await receiver({ maxVersion, behaviour: behaviours.endEarly({ afterMs: 20 }, { ends: 'fin', reads: 'nothing' }) })
    const tap = await wiretap(lying.port)
    onTestFinished(tap.close)
    expect((await talk({ port: tap.port, authority, client, lines: lines(10) })).sort()).toEqual(LOOKS_DELIVERED)
    expect(isCloseNotify(tap.lastRecord())).toBe(false)
    expect(lying.events).toBe(0)
  })

  it.each(['TLSv1.2', 'TLSv1.3'] as const)('killed after reading, %s', async (maxVersion) => {
    const killed = await receiver({ maxVersion, behaviour: behaviours.killed() })
    const tap = await wiretap(killed.port)
    onTestFinished(tap.close)
    expect(await talk({ port: tap.port, authority, client, lines: lines(300) })).toEqual(['secureConnect', 'finish', 'end', 'close false'])
    expect(isCloseNotify(tap.lastRecord())).toBe(false)
    expect([killed.events, killed.discardedEvents]).toEqual([0, 300])
  })

  it('killed after some lines', async () => {
    const killed = await receiver({ behaviour: behaviours.killed({ lines: 10 }) })
    expect(await sendSorted(killed, { lines: lines(300) })).toEqual(LOOKS_DELIVERED)
    expect([killed.events, killed.discardedEvents]).toEqual([0, 10])
  })

  it.each([['at once', 'at once', 0], ['after 20 ms, unread', { afterMs: 20 }, 0], ['after 5 lines', { lines: 5 }, 5]] as const)(
    'ends by itself %s', async (_name, moment, read) => {
      const ending = await receiver()
      ending.next(behaviours.endEarly(moment, { reads: read === 0 ? 'nothing' : 'count' }))
      expect(await sendSorted(ending, { lines: lines(200) })).toEqual(LOOKS_DELIVERED)
      expect(ending.events).toBe(read)
    })

  it.each(['nothing', 'discard'] as const)('a terminator with a dead backend that reads %s ends late, with a real close_notify', async (reads) => {
    const dead = await receiver({ behaviour: behaviours.deadBackend(400, reads) })
    const tap = await wiretap(dead.port)
    onTestFinished(tap.close)
    const began = performance.now()
    expect(await talk({ port: tap.port, authority, client, lines: lines(200), quietMs: 100 })).toEqual(['secureConnect', 'finish', 'end', 'close false'])
    expect(performance.now() - began).toBeGreaterThan(350)
    expect(isCloseNotify(tap.lastRecord())).toBe(true)
    expect(dead.events).toBe(0)
    expect(behaviours.deadBackend().delayMs).toBe(3000)
  })

  it('a backend that closes at the first byte', async () => {
    const closing = await receiver({ behaviour: behaviours.backendCloses(5) })
    expect(await sendSorted(closing, { lines: lines(200) })).toEqual(LOOKS_DELIVERED)
    expect(closing.events).toBe(0)
    expect(await send(closing), 'a probe without data goes well').toEqual(['secureConnect', 'finish', 'end', 'close false'])
  })
})

describe('open failures', () => {
  it('nginx: everything is received, but there is never a close_notify', async () => {
    const nginx = await receiver({ behaviour: behaviours.bareFin() })
    const tap = await wiretap(nginx.port)
    onTestFinished(tap.close)
    expect(await talk({ port: tap.port, authority, client, lines: lines(2000) })).toEqual(['secureConnect', 'finish', 'end', 'close false'])
    expect(isCloseNotify(tap.lastRecord())).toBe(false)
    expect(nginx.events).toBe(2000)
    await nginx.until(() => nginx.openConnections === 0)
  })

  it.each([['at once', 0], [{ lines: 7 }, 7], [{ lines: 7, delayMs: 30 }, 7], ['at half-close', 200]] as const)('reset %j', async (moment, read) => {
    const resetting = await receiver({ behaviour: behaviours.reset(moment) })
    const seen = await send(resetting, { lines: lines(200) })
    expect(seen).toContain('error ECONNRESET')
    expect(seen.at(-1)).toBe('close true')
    expect(resetting.events).toBe(read)
    await resetting.until(() => resetting.openConnections === 0)
  })

  it('never ends its side', async () => {
    const endless = await receiver({ behaviour: behaviours.neverEnd() })
    expect(await send(endless, { lines: lines(10), giveUp: endless.until(() => endless.events === 10) })).toEqual(['secureConnect', 'finish', 'timeout', 'close false'])
    expect(endless.events).toBe(10)
  })

  it.each([0, 5])('stalls after %i lines', async (read) => {
    const stalling = await receiver({ behaviour: behaviours.stall(read) })
    // More than the kernel's buffers hold, so that our writes back up.
    const big = Array.from({ length: 100 }, (_, n) => line(n).replace('{', `{"x":"${'y'.repeat(200_000)}",`))
    expect(await send(stalling, { lines: big, giveUp: stalling.until(() => stalling.openConnections === 1 && stalling.events === read) })).toEqual(['secureConnect', 'timeout', 'close false'])
    expect(stalling.events).toBe(read)
  })

  it('reads slowly', async () => {
    const slow = await receiver({ behaviour: behaviours.slow(100_000) })
    const began = performance.now()
    const text = lines(400)
    expect(await send(slow, { lines: text })).toEqual(['secureConnect', 'finish', 'end', 'close false'])
    expect(performance.now() - began).toBeGreaterThan((text.join('\n').length / 100_000) * 1000 * 0.7)
    expect(slow.events).toBe(400)
  })

  it('refuses connections for a while and comes back on the same port', async () => {
    const flapping = await receiver()
    const { port } = flapping
    flapping.refuseConnections()
    expect(await send(flapping)).toEqual(['error ECONNREFUSED', 'close true'])
    await flapping.acceptConnections()
    expect(flapping.port).toBe(port)
    expect(await send(flapping, { lines: lines(3) })).toContain('end')
    expect(flapping.events).toBe(3)
  })

  it('leaves open connections alone while it refuses new ones', async () => {
    const flapping = await receiver()
    const long = send(flapping, { lines: [line(1)], quietMs: 300 })
    await flapping.until(() => flapping.events === 1)
    flapping.refuseConnections()
    await flapping.acceptConnections()
    flapping.refuseConnections()
    expect(await long).toEqual(['secureConnect', 'finish', 'end', 'close false'])
  })
})

describe('changes while it runs', () => {
  it('takes behaviours for the next connections, for the next with data, and by number', async () => {
    const changing = await receiver({ behaviour: (connection) => (connection === 3 ? behaviours.reset('at once') : behaviours.healthy()) })
    changing.nextWithData(behaviours.reset({ lines: 2 }))
    expect(await send(changing)).not.toContain('error ECONNRESET')
    expect(await send(changing, { lines: lines(5) })).toContain('error ECONNRESET')
    expect(changing.events).toBe(2)
    expect(await send(changing)).toContain('error ECONNRESET')
    changing.next(behaviours.refuseClient(), behaviours.healthy())
    await send(changing, { lines: lines(5) })
    expect(changing.events).toBe(2)
    await send(changing, { lines: lines(5) })
    expect(changing.events).toBe(7)
    expect(changing.connections).toEqual({ accepted: 5, secured: 5, refused: 0, withData: 2 })
  })

  it('swaps its certificate: wrong host name, expired, and good again', async () => {
    const swapping = await receiver()
    swapping.useCertificate(await authority.issue({ commonName: 'other', hosts: ['elsewhere.example'] }))
    expect(await send(swapping)).toContain('error ERR_TLS_CERT_ALTNAME_INVALID')
    swapping.useCertificate(await authority.issue({ commonName: 'old', validity: 'expired' }))
    expect(await send(swapping)).toContain('error CERT_HAS_EXPIRED')
    swapping.useCertificate(certificate)
    expect(await send(swapping, { lines: lines(1) })).toContain('end')
    expect(swapping.events).toBe(1)
  })

  it.each(['close_notify', 'fin', 'reset'] as const)('ends all open connections by %s', async (how) => {
    const ending = await receiver()
    const open = [1, 2].map(async (n) => send(ending, { lines: [line(n)], quietMs: null }))
    await ending.until(() => ending.events === 2)
    ending.disconnectAll(how)
    for (const seen of await Promise.all(open)) expect(seen).toContain(how === 'reset' ? 'error ECONNRESET' : 'end')
    await ending.until(() => ending.openConnections === 0)
  })

  it('stops with connections in every state, twice, and before a start', async () => {
    const busy = await receiver({ behaviour: behaviours.stall() })
    const stalled = send(busy, { lines: lines(5) })
    await busy.until(() => busy.openConnections === 1)
    busy.behaviour = behaviours.neverEnd()
    const endless = send(busy, { lines: lines(5) })
    await busy.until(() => busy.events === 5)
    const waiting = busy.until(() => false)
    const stopping = Promise.all([busy.stop(), busy.stop()])
    await expect(waiting).rejects.toThrow('the receiver was stopped')
    await stopping
    await Promise.all([stalled, endless])
    expect(busy.openConnections).toBe(0)
    await new DevoReceiver({ certificate, clientAuthority: authority.certPem }).stop()
  })
})
