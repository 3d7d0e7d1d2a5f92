import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { makeWorld, MINUTE_MS, type World } from './world.ts'

const TOKEN = 'status-page-token-0815'
const OWN_KEY = 'key-of-an-own-sink'
/** Says what it must not say, as libraries do. */
const TALKATIVE = `export const createSink = (config) => ({ maxShipmentsInFlight: 1, async check() { throw new Error('no login with ' + config.key) }, async close() {}, ship() {} })`

const REFUSING = `export const createSink = (config) => ({ maxShipmentsInFlight: 1, async check() {}, async close() {}, ship: ({ reject }) => async (batches) => { for await (const batch of batches) reject(batch, 0, 'refused with ' + config.key) } })`

/** Everything that is written below the folder, as bytes. */
async function filesBelow(folder: string): Promise<Buffer[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return Promise.all(entries.filter((entry) => entry.isFile()).map((entry) => readFile(join(entry.parentPath, entry.name))))
}

function formsOf(world: World): string[] {
  const { username, password } = world.model
  return [password, encodeURIComponent(password), Buffer.from(`${username}:${password}`).toString('base64'), TOKEN, OWN_KEY]
}

test('no secret is in anything that a run writes, at debug level and with failures on both sides', async () => {
  const until = Date.now() - 2 * MINUTE_MS
  const world = await makeWorld({ traffic: { until }, configure: ({ globals }) => Object.assign(globals, { debug: true, http: { enabled: true, port: 0, token: TOKEN } }) })
  await writeFile(join(world.dir, 'talkative.mjs'), TALKATIVE)
  await writeFile(join(world.dir, 'refusing.mjs'), REFUSING)
  const config = { key: '${OWN_KEY}' }
  await world.configure(({ outputs }) => Object.assign(outputs, { own: { type: './talkative.mjs', config }, refusing: { type: './refusing.mjs', config } }))
  const env = { OWN_KEY }
  const forms = formsOf(world)
  const keyLine = (await readFile(join(world.dir, 'certs', 'me.key'), 'utf8')).split('\n')[1] ?? ''
  expect(keyLine.length).toBeGreaterThan(40)
  forms.push(keyLine)
  // An API that throws our own words back at us, in every answer that is not one.
  const echo = `you sent Authorization: Basic ${forms[2] ?? ''}, which is ${world.model.username}:${world.model.password}`
  const paths = ['clicks/blocked', 'clicks/permitted', 'messages/blocked']
  for (const [index, status] of [401, 403, 500].entries()) world.model.faults.set({ kind: 'status', status, body: echo, path: `/v2/siem/${paths[index] ?? ''}` })
  world.receiver.refuseConnections()
  const collector = world.start(['run'], { env })
  await collector.logged('no login with')
  await collector.logged('refused with')
  await collector.logged('ECONNREFUSED')
  await collector.logged('(401)')
  const port = await collector.httpPort()
  const pages = await Promise.all(['healthz', 'readyz', 'metrics', '', 'status.json'].map(async (path) => (await fetch(`http://127.0.0.1:${port}/${path}`, { headers: { authorization: `Bearer ${TOKEN}` } })).text()))
  await collector.until(() => collector.log.some(({ level }) => level === 'debug'), 'a debug line')
  const others = await Promise.all([['status', '--json'], ['status'], ['validate', '--connect'], ['dead-letters', 'list']].map((args) => world.run(args, { env })))
  await world.receiver.acceptConnections()
  await world.receiver.until(() => world.receiver.events > 0)
  const ended = await collector.stop()
  const written = [...pages, ...[...others, ended].flatMap(({ stdout, stderr }) => [stdout, stderr])].map((text) => Buffer.from(text))
  expect(others.at(-1)?.stdout).toContain('refused with [secret]')
  expect(ended.stdout).toContain('you sent Authorization')
  for (const text of [...written, ...(await filesBelow(world.stateDir))]) for (const secret of forms) expect(text.includes(secret), `${secret} is in\n${text.toString().slice(0, 2_000)}`).toBe(false)
})
