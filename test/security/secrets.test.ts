import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { Ended } from '../e2e/collector.ts'
import { makeWorld, MINUTE_MS, type World } from '../e2e/world.ts'
import { startEchoingBroker } from './echoing-broker.ts'

const HTTP_TOKEN = 'token-of-the-http-output'
const HTTP_PASSWORD = 'password/of the "http" output'
const HEADER = 'value-of-an-own-header'
const URL_KEY = 'key-in-the-url'
const KAFKA_PASSWORD = 'password-of-the-kafka-output'
const BUFFER_PASSWORD = 'password-of-the-kafka-buffer'
const S3_SECRET = 'secret-access-key-of-s3'
const S3_SESSION = 'session-token-of-s3'
const REDACT_KEY = 'key-of-the-keyed-hash'

/** Everything that is written below the folder, as bytes. */
async function filesBelow(folder: string): Promise<Buffer[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return Promise.all(entries.filter((entry) => entry.isFile()).map((entry) => readFile(join(entry.parentPath, entry.name))))
}

/** Each as it is, and as JSON, a URL and Basic authentication write it. */
function formsOf(secrets: readonly string[], logins: readonly string[]): string[] {
  return [...secrets.flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret)]), ...logins.map((login) => Buffer.from(login).toString('base64'))]
}

function expectNone(texts: readonly (string | Buffer)[], forms: readonly string[]): void {
  for (const text of texts) for (const form of forms) expect(text.includes(form), `${form} is in\n${text.toString().slice(0, 2_000)}`).toBe(false)
}

/** Refuses every request, with all that the request said. */
async function startEcho(): Promise<{ readonly origin: string; readonly asked: string[] }> {
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(request.url ?? '')
    request.resume().on('end', () => {
      response.writeHead(403, { 'content-type': 'text/plain', 'x-seen': encodeURIComponent(request.headers.authorization ?? '') })
      response.end(`refused: ${request.method ?? ''} ${request.url ?? ''}\n${request.rawHeaders.join(' ')} ${decoded(request.headers.authorization)}`)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(async () => {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  })
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked } // listening on TCP
}

function decoded(authorization = ''): string {
  return authorization.startsWith('Basic ') ? Buffer.from(authorization.slice('Basic '.length), 'base64').toString() : ''
}

const textsOf = (...ended: readonly Ended[]) => ended.flatMap(({ stdout, stderr }) => [stdout, stderr])

async function otherCommands(world: World): Promise<readonly string[]> {
  const commands = [['status', '--json'], ['status'], ['validate', '--connect'], ['dead-letters', 'list']]
  return textsOf(...(await Promise.all(commands.map((args) => world.run(args)))))
}

test('no secret of any output is in log, errors, status, pages and buffer, with destinations that send back what they were sent', async () => {
  const echo = await startEcho()
  const broker = await startEchoingBroker()
  const world = await makeWorld({
    traffic: { until: Date.now() - 2 * MINUTE_MS },
    configure({ globals, outputs }) {
      Object.assign(globals, { debug: true })
      const http = (config: object) => ({ type: 'http', config: { url: echo.origin, format: 'ndjson', ...config } })
      Object.assign(outputs, {
        token: http({ credentials: { token: HTTP_TOKEN }, headers: { 'x-api-key': HEADER } }),
        password: http({ credentials: { username: 'me', password: HTTP_PASSWORD }, url: `${echo.origin}/?apikey=${URL_KEY}` }),
        kafka: { type: 'kafka', config: { brokers: [broker.address], topic: 'events', sasl: { mechanism: 'plain', username: 'me', password: KAFKA_PASSWORD } } },
        s3: { type: 's3', config: { bucket: 'events', endpoint: echo.origin, credentials: { access_key_id: 'AKID', secret_access_key: S3_SECRET, session_token: S3_SESSION } } },
        hashed: { ...outputs.devo_1, transforms: [{ redact: { fields: ['/recipient'], action: 'hash', key: REDACT_KEY } }] },
      })
    },
  })
  const forms = formsOf([HTTP_TOKEN, HTTP_PASSWORD, HEADER, URL_KEY, KAFKA_PASSWORD, S3_SECRET, S3_SESSION, REDACT_KEY], [`me:${HTTP_PASSWORD}`])
  const collector = world.start(['run'])
  // Each has been refused and has told of it.
  for (const name of ['token', 'password', 'kafka', 's3']) await collector.until(() => collector.log.some(({ output, level }) => output === name && level !== 'debug'), `a line about output ${name}`)
  await world.receiver.until(() => world.receiver.events > 0)
  const port = await collector.httpPort()
  const pages = await Promise.all(['readyz', 'metrics', '', 'status.json'].map(async (path) => (await fetch(`http://127.0.0.1:${port}/${path}`)).text()))
  const others = await otherCommands(world)
  const ended = await collector.stop()
  expect(ended.stdout).toContain('refused: POST')
  expect(ended.stdout).toContain('no such login')
  expect(broker.logins).toContain(`me:${KAFKA_PASSWORD}`)
  expectNone([...pages, ...others, ...textsOf(ended), ...(await filesBelow(world.stateDir))], forms)
})

test('nor one of a Kafka buffer, whose brokers send it back', async () => {
  const broker = await startEchoingBroker()
  const world = await makeWorld({
    perHour: 0,
    configure(config) {
      config.globals.debug = true
      config.buffer = { type: 'kafka', config: { brokers: [broker.address], sasl: { mechanism: 'plain', username: 'me', password: BUFFER_PASSWORD } } }
    },
  })
  const collector = world.start(['run'])
  await collector.logged('no such login')
  const others = await otherCommands(world)
  const ended = await collector.stop()
  expect(broker.logins).toContain(`me:${BUFFER_PASSWORD}`)
  expectNone([...others, ...textsOf(ended), ...(await filesBelow(world.stateDir))], formsOf([BUFFER_PASSWORD], []))
})
