import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import net from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { systemClock } from '../../../src/pipeline/clock.ts'
import { RetryableError, describeError } from '../../../src/pipeline/errors.ts'
import { makeAuthority, writePemFiles, type CertificateOptions } from '../../../src/simulator/certificates.ts'
import type { DevoConfig } from '../../../src/sinks/devo/config.ts'
import type { Connection, PeerWatcher } from '../../../src/sinks/proof/connection.ts'
import { connectTls } from '../../../src/sinks/proof/tls-connection.ts'
import { eventually } from '../../contract/batches.ts'
import { ManualClock } from '../manual-clock.ts'
import { makeWorld, type World } from '../devo/world.ts'

let world: World
let reports: string[]
let opened: Connection[]

beforeEach(async () => {
  world = await makeWorld()
  reports = []
  opened = []
})

afterEach(async () => {
  for (const connection of opened) connection.destroy()
  await world.close()
})

const watcher: PeerWatcher = {
  peerEnding: () => reports.push('peerEnding'),
  peerEnded: () => reports.push('peerEnded'),
  peerSent: (bytes) => reports.push(`peerSent ${bytes}`),
  failed: (error) => reports.push(error.message),
  closed: (end) => reports.push(`closed ${JSON.stringify(end)}`),
}

async function connect(over: Partial<DevoConfig> = {}, signal = new AbortController().signal): Promise<Connection> {
  const connection = await connectTls(world.config(over), systemClock)(watcher, signal)
  opened.push(connection)
  return connection
}

/** What an operator would read. */
async function failure(over: Partial<DevoConfig> = {}): Promise<string> {
  const error: unknown = await connect(over).then(() => new Error('it connected'), (reason: unknown) => reason)
  expect(error).toBeInstanceOf(RetryableError)
  expect(reports).toEqual([])
  return describeError(error)
}

const useServerCertificate = async (options: Partial<CertificateOptions> & { readonly hosts?: readonly string[] }): Promise<void> =>
  world.receiver.useCertificate(await world.authority.issue({ commonName: 'receiver', ...options }))

describe('an orderly end', () => {
  test.each(['TLSv1.2', 'TLSv1.3'] as const)('%s: is told from a bare FIN', async (maxVersion) => {
    await world.close()
    world = await makeWorld({ maxVersion })
    for (const how of ['close_notify', 'fin'] as const) {
      reports = []
      const connection = await connect()
      await world.receiver.until(() => world.receiver.openConnections === 1)
      connection.end(() => undefined)
      await world.receiver.until(() => world.receiver.openConnections === 0)
      expect(await eventually(() => reports.at(-1), (last) => last?.startsWith('closed') === true)).toBe('closed {"closeNotify":true}')
      reports = []
      const other = await connect()
      await world.receiver.until(() => world.receiver.openConnections === 1)
      world.receiver.disconnectAll(how)
      await eventually(() => reports.at(-1), (last) => last === 'peerEnded' || last === 'peerEnding')
      other.end(() => undefined)
      expect(await eventually(() => reports.at(-1), (last) => last?.startsWith('closed') === true)).toBe(`closed {"closeNotify":${how === 'close_notify'}}`)
      expect(reports[0]).toBe('peerEnding')
    }
  })
})

test('a large write shows its progress, by which a slow peer is told from a stalled one', async () => {
  const connection = await connect()
  const size = 16 * 1024 * 1024
  const flushed = Promise.withResolvers<null>()
  const handshake = connection.bytesFlushed
  connection.write(Buffer.alloc(size, 'x'), () => flushed.resolve(null))
  const seen = new Set<number>()
  const timer = setInterval(() => seen.add(connection.bytesFlushed))
  await flushed.promise
  clearInterval(timer)
  expect(connection.bytesFlushed - handshake).toBeGreaterThan(size)
  expect([...seen].filter((bytes) => bytes > handshake && bytes < size)).not.toEqual([])
})

describe('the files', () => {
  test('are read for every connection: new ones count from the next', async () => {
    const { receiver, folder, authority } = world
    await connect()
    const other = await makeAuthority({ commonName: 'The next CA' })
    const server = await other.issue({ commonName: 'receiver' })
    receiver.useCertificate(server, other.certPem)
    expect(await failure()).toContain("chain.crt does not sign the endpoint's certificate")
    await writePemFiles(folder, { 'chain.crt': other.certPem })
    // The receiver knows only the next authority now, and the client still presents a certificate of the old one.
    const refused = receiver.connections.refused
    await connect().catch(() => undefined)
    await receiver.until(() => receiver.connections.refused > refused)
    const client = await other.issue({ commonName: 'me', client: true })
    await writePemFiles(folder, { 'me.crt': client.certPem, 'me.key': client.keyPem })
    const secured = receiver.connections.secured
    await connect()
    await receiver.until(() => receiver.connections.secured === secured + 1)
    expect(authority.certPem).not.toBe(other.certPem)
  })

  test('that are missing, mixed up or no PEM at all are named', async () => {
    const { folder } = world
    expect(await failure({ cert: join(folder, 'no.crt') })).toContain(`there is no file ${join(folder, 'no.crt')}`)
    expect(await failure({ cert: folder })).toContain(`${folder} cannot be read`)
    await writeFile(join(folder, 'bad.pem'), 'not a certificate')
    for (const [key, kind] of [['chain', 'PEM certificate'], ['cert', 'PEM certificate'], ['key', 'PEM private key']] as const) {
      expect(await failure({ [key]: join(folder, 'bad.pem') })).toContain(`bad.pem is not a ${kind}`)
    }
    const other = await world.authority.issue({ commonName: 'other', client: true })
    await writeFile(join(folder, 'other.key'), other.keyPem)
    expect(await failure({ key: join(folder, 'other.key') })).toContain('other.key is not the private key of me.crt')
  })
})

describe("the endpoint's certificate", () => {
  test('of another authority', async () => {
    const other = await makeAuthority({ commonName: 'Another CA' })
    await writePemFiles(world.folder, { 'chain.crt': other.certPem })
    expect(await failure()).toMatch(/^localhost:\d+: chain.crt does not sign the endpoint's certificate/)
    expect(await failure({ verifyHostname: false })).toContain('chain.crt does not sign')
  })

  test('for another name; verify_hostname: false takes it, the chain counting all the same', async () => {
    await useServerCertificate({ hosts: ['devo.example', '192.0.2.1'] })
    expect(await failure()).toContain("the endpoint's certificate is for devo.example, 192.0.2.1, not for localhost; verify_hostname: false")
    expect(await failure({ address: '127.0.0.1' })).toContain('not for 127.0.0.1')
    await connect({ verifyHostname: false })
  })

  test('that has expired, or is not yet valid', async () => {
    await useServerCertificate({ validity: 'expired' })
    expect(await failure()).toContain('has expired')
    await useServerCertificate({ validity: 'not yet valid' })
    expect(await failure()).toContain('not yet valid')
  })

  test('that is too weak; allow_weak_certificates takes it, and our own too', async () => {
    const allowWeakCertificates = true
    await useServerCertificate({ signature: 'sha1' })
    expect(await failure()).toMatch(/the endpoint's certificate .* is too weak .*; allow_weak_certificates: true takes it all the same/)
    await connect({ allowWeakCertificates })
    // A key of 1024 bits is read as our own, though the receiver would refuse it.
    const short = await world.authority.issue({ commonName: 'me', client: true, keyBits: 1024 })
    await writePemFiles(world.folder, { 'me.crt': short.certPem, 'me.key': short.keyPem })
    expect(await failure()).toContain('me.crt is too weak for TLS today; allow_weak_certificates: true takes it all the same')
    expect(await connect({ allowWeakCertificates }).then(() => '', describeError)).not.toContain('too weak')
  })

  test('an address is verified like a name', async () => {
    await connect({ address: '127.0.0.1' })
  })
})

describe('an endpoint that cannot be reached', () => {
  test('refuses', async () => {
    world.receiver.refuseConnections()
    expect(await failure()).toMatch(/^localhost:\d+ refuses connections/)
    expect(await failure({ address: '127.0.0.1' })).toMatch(/^127.0.0.1:\d+ refuses connections/)
  })

  test('has no address', async () => {
    expect(await failure({ address: 'no-such-host.invalid' })).toContain('no-such-host.invalid:')
    expect(await failure({ address: 'no-such-host.invalid' })).toContain('has no address')
  })

  test('speaks something else', async () => {
    const port = await listen((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
    expect(await failure({ port })).toContain('does not speak TLS; is the port right?')
  })

  test('speaks only an older TLS', async () => {
    const port = await listen((socket) => socket.once('data', () => socket.end(Buffer.from([21, 3, 1, 0, 2, 2, 70]))))
    expect(await failure({ port })).toContain('no TLS 1.2 or later')
  })

  test('ends or resets the connection during the handshake', async () => {
    const port = await listen((socket) => socket.once('data', () => socket.end()))
    expect(await failure({ port })).toContain('ended the connection during the TLS handshake')
    const other = await listen((socket) => socket.once('data', () => socket.resetAndDestroy()))
    expect(await failure({ port: other })).toContain('during the TLS handshake')
  })

  test('accepts and says nothing: given up after 10 s', async () => {
    const clock = new ManualClock()
    let accepted = 0
    const port = await listen(() => (accepted += 1))
    const connecting = connectTls(world.config({ port }), clock)(watcher, new AbortController().signal)
    const failed = expect(connecting).rejects.toThrow('did not finish the TLS handshake within 10 s')
    await eventually(() => accepted, (count) => count === 1)
    clock.advance(10_000)
    await failed
    expect(clock.pendingTimers).toBe(0)
    expect(reports).toEqual([])
  })

  test('the signal ends the connecting at once, and nothing stays', async () => {
    const abort = new AbortController()
    let left = 0
    const port = await listen((socket) => socket.on('close', () => (left += 1)))
    const connecting = expect(connect({ port }, abort.signal)).rejects.toThrow('stop')
    await eventually(() => server?.listening, (listening) => listening === true)
    abort.abort(new Error('stop'))
    await connecting
    await expect(connect({ port }, abort.signal)).rejects.toThrow('stop')
    expect(left).toBeLessThanOrEqual(1)
  })
})

describe('our certificate', () => {
  /** TLS alerts (RFC 8446, 6.2) in clear, as they come before there are keys. */
  test.each([
    [42, 'it is damaged or was not accepted'], [43, 'kind or purpose'], [44, 'revoked'], [45, 'it has expired'], [46, 'no reason'],
    [48, 'not one that the endpoint trusts'], [49, 'access denied'], [116, 'asks for one'], [40, 'handshake failure'],
  ])('refused by alert %d is said so, with its file', async (alert, meaning) => {
    const port = await listen((socket) => socket.once('data', () => socket.end(Buffer.from([21, 3, 3, 0, 2, 2, alert]))))
    const message = await failure({ port })
    expect(message).toContain('the endpoint refused our client certificate me.crt')
    expect(message).toContain(meaning)
  })

  test('refused without a word under TLS 1.2 is at least suspected', async () => {
    await world.close()
    world = await makeWorld({ maxVersion: 'TLSv1.2' })
    const other = await makeAuthority({ commonName: 'Another CA' })
    const stranger = await other.issue({ commonName: 'stranger', client: true })
    await writePemFiles(world.folder, { 'me.crt': stranger.certPem, 'me.key': stranger.keyPem })
    expect(await failure()).toMatch(/ended the connection during the TLS handshake, as some do that do not accept the client certificate \(me.crt\)/)
  })
})

let server: net.Server | undefined

async function listen(serve: (socket: net.Socket) => void): Promise<number> {
  server?.close()
  server = net.createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined)
    socket.resume()
    serve(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

afterEach(() => server?.close())
