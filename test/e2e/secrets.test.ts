import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { makeWorld, MINUTE_MS, type World } from './world.ts'

const TOKEN = 'status-page-token-0815'

/** Everything that is written below the folder, as bytes. */
async function filesBelow(folder: string): Promise<Buffer[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return Promise.all(entries.filter((entry) => entry.isFile()).map((entry) => readFile(join(entry.parentPath, entry.name))))
}

function formsOf(world: World): string[] {
  const { username, password } = world.model
  return [password, encodeURIComponent(password), Buffer.from(`${username}:${password}`).toString('base64'), TOKEN]
}

test('no secret is in anything that a run writes, at debug level and with failures on both sides', async () => {
  const until = Date.now() - 2 * MINUTE_MS
  const world = await makeWorld({ traffic: { until }, configure: ({ globals }) => Object.assign(globals, { debug: true, http: { enabled: true, port: 0, token: TOKEN } }) })
  const forms = formsOf(world)
  const keyLine = (await readFile(join(world.dir, 'certs', 'me.key'), 'utf8')).split('\n')[1] ?? ''
  expect(keyLine.length).toBeGreaterThan(40)
  forms.push(keyLine)
  // An API that throws our own words back at us, in every answer that is not one.
  const echo = `you sent Authorization: Basic ${forms[2] ?? ''}, which is ${world.model.username}:${world.model.password}`
  const paths = ['clicks/blocked', 'clicks/permitted', 'messages/blocked']
  for (const [index, status] of [401, 403, 500].entries()) world.model.faults.set({ kind: 'status', status, body: echo, path: `/v2/siem/${paths[index] ?? ''}` })
  world.receiver.refuseConnections()
  const collector = world.start(['run'])
  await collector.logged('ECONNREFUSED')
  await collector.logged('(401)')
  const port = await collector.httpPort()
  const pages = await Promise.all(['healthz', 'readyz', 'metrics', '', 'status.json'].map(async (path) => (await fetch(`http://127.0.0.1:${port}/${path}`, { headers: { authorization: `Bearer ${TOKEN}` } })).text()))
  await collector.until(() => collector.log.some(({ level }) => level === 'debug'), 'a debug line')
  const status = await world.run(['status', '--json'])
  const table = await world.run(['status'])
  const validate = await world.run(['validate', '--connect'])
  await world.receiver.acceptConnections()
  await world.receiver.until(() => world.receiver.events > 0)
  const ended = await collector.stop()
  const written = [...pages, ...[status, table, validate, ended].flatMap(({ stdout, stderr }) => [stdout, stderr])].map((text) => Buffer.from(text))
  expect(ended.stdout).toContain('you sent Authorization')
  for (const text of [...written, ...(await filesBelow(world.stateDir))]) for (const secret of forms) expect(text.includes(secret), `${secret} is in\n${text.toString().slice(0, 2_000)}`).toBe(false)
})
