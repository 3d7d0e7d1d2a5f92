import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { TOKEN } from '../sinks/http/splunk-api.ts'
import { API_KEY } from '../sinks/http/elastic-api.ts'
import { elasticWorld, jsonWorld, splunkWorld, type World as Destination } from '../sinks/http/world.ts'
import { parseLine } from './arrivals.ts'
import { makeWorld, MINUTE_MS } from './world.ts'

const until = Date.now() - 2 * MINUTE_MS

/** Texts of which the one has more than the other. */
function differences(one: readonly string[], other: readonly string[]): string[] {
  const counts = new Map<string, number>()
  for (const text of one) counts.set(text, (counts.get(text) ?? 0) + 1)
  for (const text of other) counts.set(text, (counts.get(text) ?? 0) - 1)
  return [...counts].filter(([, count]) => count !== 0).map(([text, count]) => `${count} ${text.slice(0, 100)}`)
}

function kept<A>(destination: Destination<A>): Destination<A> {
  onTestFinished(destination.close)
  return destination
}

test('every format beside Devo: the same JSON, each event once, no event by validate --connect, no secret in the log', async () => {
  const own = kept(await jsonWorld('ndjson'))
  const splunk = kept(await splunkWorld(true))
  const elastic = kept(await elasticWorld())
  splunk.api.indexes.add('tap')
  const world = await makeWorld({
    traffic: { until },
    configure: ({ outputs }) => {
      const tls = (folder: string) => ({ ca: join(folder, 'ca.crt') })
      outputs.own = {
        type: 'http',
        config: { url: `${own.destination.origin}/events`, format: 'ndjson', credentials: { username: 'me', password: 'hunter2' }, tls: tls(own.folder), gzip: true },
      }
      outputs.splunk = {
        type: 'http',
        config: { url: splunk.destination.origin, format: 'splunk_hec', credentials: { token: '${HEC_TOKEN}' }, tls: tls(splunk.folder), index: 'tap', acknowledge: true },
      }
      outputs.elastic = {
        type: 'http',
        config: { url: elastic.destination.origin, format: 'elastic_bulk', credentials: { token: API_KEY, scheme: 'ApiKey' }, tls: tls(elastic.folder), max_request_bytes: 20_000 },
      }
    },
  })
  const env = { HEC_TOKEN: TOKEN }
  expect(await world.run(['validate', '--connect'], { env })).toMatchObject({ code: 0 })
  for (const { destination } of [own, splunk, elastic]) expect([destination.asked.length > 0, destination.withEvents]).toEqual([true, 0])

  const { code, stdout, stderr } = await world.run(['run', '--once'], { env })
  expect(code).toBe(0)
  const sent = world.lines.map((line) => parseLine(line).json).sort()
  expect(sent.length).toBeGreaterThan(100)
  expect(differences(own.destination.asked.flatMap(({ body }) => body.split('\n').filter((line) => line !== '')), sent)).toEqual([])
  expect(differences(splunk.api.events, sent.map((text) => JSON.stringify(JSON.parse(text))))).toEqual([])
  // Elasticsearch takes no field without a name: those events are dead letters.
  expect(differences(elastic.api.documents, sent.filter((text) => !Object.hasOwn(JSON.parse(text) as object, '')))).toEqual([])
  for (const secret of ['hunter2', TOKEN, API_KEY, Buffer.from('me:hunter2').toString('base64')]) expect(stdout + stderr).not.toContain(secret)
})

test('a destination that refuses the login holds up its own output alone', async () => {
  const own = kept(await jsonWorld('json_array'))
  const world = await makeWorld({
    traffic: { until },
    configure: ({ outputs }) => {
      outputs.own = {
        type: 'http',
        config: { url: `${own.destination.origin}/events`, format: 'json_array', credentials: { username: 'me', password: 'wrong-one' }, tls: { ca: join(own.folder, 'ca.crt') } },
      }
    },
  })
  expect(await world.run(['validate', '--connect'])).toMatchObject({ code: 3 })
  const collector = world.start(['run'])
  expect(await collector.logged('refuses the login (401): check credentials')).toMatchObject({ level: 'warn' })
  await world.allArrive(until)
  expect(own.api.kept).toEqual([])
  await world.configure(({ outputs }) => {
    outputs.own = { ...outputs.own, type: 'http', config: { ...outputs.own?.config, credentials: { username: 'me', password: 'hunter2' } } }
  })
  expect(await collector.stop()).toMatchObject({ code: 0 })
  expect(collector.stdout + collector.stderr).not.toContain('wrong-one')
  expect(await world.run(['run', '--once'])).toMatchObject({ code: 0 })
  expect(own.api.kept).toHaveLength(world.compare().expected)
})
