import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import http from 'node:http'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pino from 'pino'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { systemClock } from '../../../src/pipeline/clock.ts'
import type { Sink } from '../../../src/pipeline/sink.ts'
import { makeAuthority } from '../../../src/simulator/certificates.ts'
import type { S3Config } from '../../../src/sinks/s3/config.ts'
import { createS3Sink } from '../../../src/sinks/s3/sink.ts'
import { batchesOf } from '../../contract/batches.ts'
import { shipAll } from '../../contract/sink-suite.ts'
import { describeS3, ROOT, startS3, WRITER, type S3Server } from '../../support/s3.ts'
import { errorDocument, Gateway } from './gateway.ts'

const REGION = 'eu-central-1'
const DOMAIN = `s3.${REGION}.amazonaws.com`
const BUCKET = 'events'
const S3_HOST = `${BUCKET}.${DOMAIN}`
const STS_HOST = `sts.${REGION}.amazonaws.com`

const TEMPORARY = `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult><Credentials>
<AccessKeyId>${WRITER.accessKeyId}</AccessKeyId><SecretAccessKey>${WRITER.secretAccessKey}</SecretAccessKey><SessionToken>session-1</SessionToken>
<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`

// Amazon's names lead here: behind HTTPS_PROXY stands a gateway that has a certificate for them, and behind that an S3 for this region.
describeS3('output s3, to Amazon\'s own addresses', () => {
  let server: S3Server
  let gateway: Gateway
  let proxy: http.Server
  let folder: string
  let sink: Sink
  const targets: string[] = []

  beforeAll(async () => {
    server = await startS3({ region: REGION, domain: DOMAIN })
    await server.createBucket(BUCKET)
    const authority = await makeAuthority({ commonName: 'Test CA' })
    gateway = new Gateway(server.url, await authority.issue({ commonName: 'amazon', hosts: [S3_HOST, STS_HOST] }))
    await gateway.start()
    folder = await mkdtemp(join(tmpdir(), 's3-amazon-'))
    await writeFile(join(folder, 'ca.crt'), authority.certPem)
    await writeFile(join(folder, 'token'), 'web-identity-token')
    proxy = http.createServer().on('connect', (request, socket) => {
      targets.push(request.url ?? '')
      const onward = net.connect(Number(new URL(gateway.origin).port), 'localhost', () => {
        socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
        onward.pipe(socket).pipe(onward)
      })
      for (const end of [onward, socket]) end.on('error', () => undefined)
    })
    proxy.listen(0, '127.0.0.1')
    await once(proxy, 'listening')
  })
  afterAll(async () => {
    proxy.closeAllConnections()
    proxy.close()
    await gateway.stop()
    await server.dispose()
    await rm(folder, { recursive: true })
  })

  beforeEach(() => {
    targets.length = 0
    gateway.trouble = null
    gateway.asked.length = 0
    for (const name of ['AWS_CONFIG_FILE', 'AWS_SHARED_CREDENTIALS_FILE']) vi.stubEnv(name, '/nowhere')
    vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true')
    // a server that listens on TCP has such an address
    vi.stubEnv('HTTPS_PROXY', `http://127.0.0.1:${(proxy.address() as net.AddressInfo).port}`)
  })
  afterEach(async () => {
    vi.unstubAllEnvs()
    await sink.close()
  })

  const sinkWith = (credentials: S3Config['credentials']): Sink =>
    createS3Sink({
      bucket: BUCKET, prefix: 'tap (1)/', region: REGION, endpoint: null, credentials, gzip: true, ca: join(folder, 'ca.crt'), cert: null, key: null, timeoutMs: 10_000,
    }, { name: 's3_1', clock: systemClock, log: pino({ level: 'silent' }) })

  test('the bucket stands in the name, and requests go through the proxy', async () => {
    sink = sinkWith(ROOT)
    await sink.check(new AbortController().signal)
    await shipAll(sink, batchesOf('a', 20).batches)
    expect(new Set(targets)).toEqual(new Set([`${S3_HOST}:443`]))
    expect((await server.objects(BUCKET)).map(({ key }) => key)).toEqual([expect.stringMatching(/^tap \(1\)\/clicksBlocked\/2023\//)])
    expect(await server.lines(BUCKET)).toHaveLength(20)
  })

  test('web identity: temporary credentials come the same way, once, and are used', async () => {
    vi.stubEnv('AWS_ROLE_ARN', 'arn:aws:iam::123456789012:role/tap')
    vi.stubEnv('AWS_WEB_IDENTITY_TOKEN_FILE', join(folder, 'token'))
    vi.stubEnv('AWS_REGION', REGION)
    gateway.trouble = ({ headers }) => (headers.host === STS_HOST ? { status: 200, body: TEMPORARY } : { status: 200, headers: { etag: '"1"' } })
    sink = sinkWith(null)
    await shipAll(sink, batchesOf('b', 1).batches)
    await shipAll(sink, batchesOf('c', 1).batches)
    expect(targets).toEqual([`${STS_HOST}:443`, `${S3_HOST}:443`, `${S3_HOST}:443`])
    const [login, ...puts] = gateway.asked
    expect(login?.body.toString()).toContain('WebIdentityToken=web-identity-token')
    for (const { headers } of puts) {
      expect(headers.authorization).toContain(`Credential=${WRITER.accessKeyId}/`)
      expect(headers['x-amz-security-token']).toBe('session-1')
    }
  })

  test('where they are refused, that is what the failure says', async () => {
    vi.stubEnv('AWS_ROLE_ARN', 'arn:aws:iam::123456789012:role/tap')
    vi.stubEnv('AWS_WEB_IDENTITY_TOKEN_FILE', join(folder, 'token'))
    const refusal = '<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>Not authorized to assume the role</Message></Error></ErrorResponse>'
    gateway.trouble = { ...errorDocument(403, 'AccessDenied'), body: refusal }
    sink = sinkWith(null)
    await expect(shipAll(sink, batchesOf('d', 1).batches)).rejects.toMatchObject({
      name: 'RetryableError', message: expect.stringMatching(/^no credentials for S3.*\(AccessDenied: Not authorized to assume the role\)$/) as string,
    })
  })
})
