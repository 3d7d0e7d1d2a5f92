import { X509Certificate, createPrivateKey } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { type Authority, type Issued, makeAuthority, writePemFiles } from '../../src/simulator/certificates.ts'

const DAY_MS = 86_400_000
let root: Authority
let client: Issued

beforeAll(async () => {
  root = await makeAuthority({ commonName: 'Test root' })
  client = await root.issue({ commonName: 'client', client: true })
})

/** Node has no code of its own for some of OpenSSL's refusals: then the message tells. */
function codeOf(error: Error): string {
  return 'code' in error && error.code !== 'UNSPECIFIED' ? String(error.code) : error.message
}

/** What each side of a real handshake says: 'ok' or an error code. */
async function handshake(server: Issued, options: { client?: Issued; clientCa?: string; serverName?: string; ca?: string } = {}) {
  const presented = options.client ?? client
  const listener = tls.createServer({
    key: server.keyPem, cert: server.chainPem, ca: options.clientCa ?? root.certPem, requestCert: true, rejectUnauthorized: false,
  })
  onTestFinished(() => { listener.close() })
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const atServer = new Promise<string>((resolve) => {
    listener.once('secureConnection', (socket) => {
      socket.on('error', () => undefined).end()
      // An error code, although its type says otherwise.
      resolve(socket.authorized ? 'ok' : String(socket.authorizationError))
    })
    listener.once('tlsClientError', (error: Error) => resolve(codeOf(error)))
  })
  const { port } = listener.address() as AddressInfo // a listening TCP server's address is never a path
  const socket = tls.connect({
    host: '127.0.0.1', port, key: presented.keyPem, cert: presented.chainPem, ca: options.ca ?? root.certPem,
    ...(options.serverName === undefined ? {} : { servername: options.serverName }),
  })
  const atClient = await new Promise<string>((resolve) => {
    socket.once('secureConnect', () => resolve('ok'))
    socket.once('error', (error: Error) => resolve(codeOf(error)))
  })
  socket.on('error', () => undefined)
  const result = { client: atClient, server: atClient === 'ok' ? await atServer : 'not asked' }
  socket.destroy()
  return result
}

describe('issued certificates', () => {
  it('complete a handshake with both sides verified, for every loopback name', async () => {
    const server = await root.issue({ commonName: 'receiver' })
    expect(await handshake(server)).toEqual({ client: 'ok', server: 'ok' })
    expect(await handshake(server, { serverName: 'localhost' })).toEqual({ client: 'ok', server: 'ok' })
    const { subjectAltName } = new X509Certificate(server.certPem)
    expect(subjectAltName).toBe('DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1')
  })

  it('are refused for another host name', async () => {
    const server = await root.issue({ commonName: 'receiver', hosts: ['collector-xx.devo.example'] })
    expect((await handshake(server)).client).toBe('ERR_TLS_CERT_ALTNAME_INVALID')
    expect((await handshake(server, { serverName: 'collector-xx.devo.example' })).client).toBe('ok')
  })

  it.each([
    ['expired', 'CERT_HAS_EXPIRED'],
    ['not yet valid', 'CERT_NOT_YET_VALID'],
  ] as const)('that are %s are refused by both sides', async (validity, code) => {
    const server = await root.issue({ commonName: 'receiver', validity })
    expect((await handshake(server)).client).toBe(code)
    const bad = await root.issue({ commonName: 'client', client: true, validity })
    const good = await root.issue({ commonName: 'receiver' })
    expect((await handshake(good, { client: bad })).server).toBe(code)
  })

  it('expire in the given number of days', async () => {
    const { certPem } = await root.issue({ commonName: 'client', client: true, validity: { expiresInDays: 12.5 } })
    const inDays = (new X509Certificate(certPem).validToDate.getTime() - Date.now()) / DAY_MS
    expect(inDays).toBeGreaterThan(12.49)
    expect(inDays).toBeLessThanOrEqual(12.5)
    const past = new X509Certificate((await root.issue({ commonName: 'client', validity: { expiresInDays: -3 } })).certPem)
    expect(past.validToDate.getTime()).toBeLessThan(Date.now() - 2.9 * DAY_MS)
    expect(past.validFromDate.getTime()).toBeLessThan(past.validToDate.getTime())
  })

  it('of another authority are refused by both sides', async () => {
    const other = await makeAuthority({ commonName: 'Other root' })
    const server = await root.issue({ commonName: 'receiver' })
    expect((await handshake(server, { ca: other.certPem })).client).toBe('SELF_SIGNED_CERT_IN_CHAIN')
    const stranger = await other.issue({ commonName: 'client', client: true })
    expect((await handshake(server, { client: stranger })).server).toBe('UNABLE_TO_VERIFY_LEAF_SIGNATURE')
  })

  it('for one purpose are refused for the other', async () => {
    expect((await handshake(client)).client).toBe('INVALID_PURPOSE')
    const server = await root.issue({ commonName: 'receiver' })
    expect((await handshake(server, { client: server })).server).toBe('INVALID_PURPOSE')
  })

  it('signed with SHA-1 are refused as too weak', async () => {
    const server = await root.issue({ commonName: 'receiver', signature: 'sha1' })
    expect((await handshake(server)).client).toBe('CA signature digest algorithm too weak')
  })

  it('below an intermediate authority need its certificate in the chain', async () => {
    const below = await root.intermediate({ commonName: 'Test intermediate' })
    const server = await below.issue({ commonName: 'receiver' })
    expect(server.chainPem.match(/BEGIN CERTIFICATE/g)).toHaveLength(2)
    expect(await handshake(server)).toEqual({ client: 'ok', server: 'ok' })
    expect((await handshake({ ...server, chainPem: server.certPem })).client).toBe('UNABLE_TO_VERIFY_LEAF_SIGNATURE')
    const deep = await (await below.intermediate({ commonName: 'Test intermediate 2' })).issue({ commonName: 'receiver' })
    expect(deep.chainPem.match(/BEGIN CERTIFICATE/g)).toHaveLength(3)
    expect(await handshake(deep)).toEqual({ client: 'ok', server: 'ok' })
  })

  it('have a key of their own that matches, and another serial number each', async () => {
    const server = await root.issue({ commonName: 'receiver' })
    expect(new X509Certificate(server.certPem).checkPrivateKey(createPrivateKey(server.keyPem))).toBe(true)
    expect(new X509Certificate(server.certPem).checkPrivateKey(createPrivateKey(client.keyPem))).toBe(false)
    expect(new X509Certificate(server.certPem).serialNumber).not.toBe(new X509Certificate(client.certPem).serialNumber)
    expect(new X509Certificate(server.certPem).checkIssued(new X509Certificate(root.certPem))).toBe(true)
  })
})

describe('writePemFiles', () => {
  let folder: string
  beforeAll(async () => { folder = await mkdtemp(join(tmpdir(), 'certificates-')) })
  afterAll(async () => { await rm(folder, { recursive: true }) })

  it('keeps keys for the owner alone, also over older files, and leaves nothing else behind', async () => {
    const certs = join(folder, 'deep', 'certs')
    await writePemFiles(certs, { 'me.key': 'x' })
    // What a process that was killed while writing would leave.
    await writeFile(join(certs, 'me.key.tmp'), 'half', { mode: 0o644 })
    await writePemFiles(certs, { 'chain.crt': root.certPem, 'me.crt': client.certPem, 'me.key': client.keyPem })
    expect((await stat(join(certs, 'me.key'))).mode & 0o777).toBe(0o600)
    expect((await stat(join(certs, 'me.crt'))).mode & 0o777).toBe(0o644)
    expect(await readFile(join(certs, 'me.key'), 'utf8')).toBe(client.keyPem)
    expect((await readdir(certs)).sort()).toEqual(['chain.crt', 'me.crt', 'me.key'])
  })
})
