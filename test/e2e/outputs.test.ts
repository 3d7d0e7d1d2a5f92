import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { makeAuthority, writePemFiles } from '../../src/simulator/certificates.ts'
import { join } from 'node:path'
import { Arrivals, parseLine } from './arrivals.ts'
import { makeWorld, MINUTE_MS, writeTime } from './world.ts'

const until = Date.now() - 2 * MINUTE_MS
const FULL = { missing: [], surplus: [] }

describe('the console', () => {
  test('has the events alone on standard output, as the same JSON that Devo gets, and the log on standard error', async () => {
    const world = await makeWorld({
      traffic: { until },
      configure: ({ outputs }) => {
        outputs.screen = { type: 'console', config: { format: 'ndjson' } }
      },
    })
    const { code, stdout, stderr } = await world.run(['run', '--once'])
    expect(code).toBe(0)
    const printed = stdout.split('\n')
    expect(printed.pop()).toBe('')
    expect(printed.sort()).toEqual(world.lines.map((line) => parseLine(line).json).sort())
    expect(world.compare()).toMatchObject(FULL)
    for (const line of stderr.trimEnd().split('\n')) expect(JSON.parse(line)).toHaveProperty('level')
    expect(stderr).toContain('goodbye')
  })

  test('alone, with lines as on the wire', async () => {
    const world = await makeWorld({
      traffic: { until },
      configure: (config) => {
        config.outputs = { screen: { type: 'console', config: { format: 'line' } } }
      },
    })
    const { code, stdout } = await world.run(['run', '--once'])
    expect(code).toBe(0)
    const arrivals = new Arrivals()
    for (const line of stdout.trimEnd().split('\n')) arrivals.add(parseLine(line).text)
    const { missing, expected } = world.compare()
    arrivals.expect(missing)
    expect(arrivals.difference()).toEqual(FULL)
    expect(arrivals.total).toBe(expected)
    expect(world.receiver.connections.accepted).toBe(0)
  })

  test('whose reader has hung up waits and loses nothing; the other output gets everything', async () => {
    const world = await makeWorld({
      traffic: { until },
      configure: ({ outputs }) => {
        outputs.screen = { type: 'console', config: { format: 'line' } }
      },
    })
    const collector = world.start(['run'], { leaveStdout: true })
    await world.allArrive(until)
    const began = performance.now()
    expect(await collector.stop()).toMatchObject({ code: 0, signal: null })
    expect(performance.now() - began).toBeLessThan(10_000)
    expect(world.compare()).toMatchObject(FULL)
    // The same where nobody sends a signal.
    expect(await world.start(['run', '--once', '--timeout', '2'], { leaveStdout: true }).end()).toMatchObject({ code: 1, signal: null })
  })
})

describe('files', () => {
  test('have the same JSON that Devo gets, each event once, and validate --connect makes none', async () => {
    const world = await makeWorld({
      traffic: { until },
      configure: ({ outputs }) => {
        outputs.archive = { type: 'file', config: { path: 'events/%Y/tap-%m-%d.ndjson.gz', gzip: true, rotate_bytes: 4000 } }
      },
    })
    expect(await world.run(['validate', '--connect'])).toMatchObject({ code: 0 })
    expect(existsSync(join(world.dir, 'events'))).toBe(false)
    expect(await world.run(['run', '--once'])).toMatchObject({ code: 0 })
    const files = readdirSync(join(world.dir, 'events'), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
    const lines = files.flatMap(({ parentPath, name }) => gunzipSync(readFileSync(join(parentPath, name))).toString().split('\n').slice(0, -1))
    expect(lines.sort()).toEqual(world.lines.map((line) => parseLine(line).json).sort())
    expect(world.compare()).toMatchObject(FULL)
  })
})

describe('outputs', () => {
  test('are served at their own pace: a dead one does not hold up a healthy one, and gets everything later', async () => {
    const world = await makeWorld({ traffic: { until } })
    const other = await makeWorld({ perHour: 0 })
    await world.configure(({ outputs }) => {
      const second = structuredClone(outputs.devo_1 ?? { type: '', config: {} })
      for (const name of ['chain.crt', 'me.crt', 'me.key']) Object.assign(second.config, { [name.replace('.crt', '').replace('me.key', 'key').replace('me', 'cert')]: join(other.dir, 'certs', name) })
      second.config.port = other.receiver.port
      outputs.devo_2 = second
    })
    other.receiver.refuseConnections()
    const collector = world.start(['run'])
    const began = performance.now()
    await world.allArrive(until)
    expect(performance.now() - began).toBeLessThan(10_000)
    expect(other.arrivals.total).toBe(0)
    const status = JSON.parse((await world.run(['status', '--json'])).stdout) as { outputs: { output: string; backlog_events: number }[] }
    expect(status.outputs.find(({ output }) => output === 'devo_2')?.backlog_events).toBe(world.arrivals.total)

    await other.receiver.acceptConnections()
    await other.receiver.until(() => other.arrivals.total >= world.arrivals.total)
    expect(await collector.stop()).toMatchObject({ code: 0 })
    const { missing } = other.compare()
    expect(missing).toEqual([])
    expect(world.compare()).toMatchObject(FULL)
    expect(other.lines.map((line) => parseLine(line).text).sort()).toEqual(world.lines.map((line) => parseLine(line).text).sort())
  })

  test('take the services they are given, with the tag of each', async () => {
    const world = await makeWorld({
      traffic: { until },
      configure: ({ outputs }) => {
        Object.assign(outputs.devo_1 ?? {}, { services: ['clicksBlocked', 'proofpoint_tap/messagesBlocked'] })
      },
    })
    expect(await world.run(['run', '--once'])).toMatchObject({ code: 0 })
    expect(world.compare(({ service }) => service === 'clicksBlocked' || service === 'messagesBlocked')).toMatchObject(FULL)
    expect([...world.receiver.tally.tags.keys()].sort()).toEqual(['mail.proofpoint.tapsiem_v2.clicksblocked', 'mail.proofpoint.tapsiem_v2.messagesblocked'])
  })

  test('added later begins with now; switched off and on again it gets its backlog', async () => {
    const world = await makeWorld({ traffic: { until } })
    const other = await makeWorld({ perHour: 0 })
    expect(await world.run(['run', '--once'])).toMatchObject({ code: 0 })
    const addedLater = { service: 'clicksBlocked', createdAt: Date.now() - 100_000, content: { id: 'while the second output is on' } } as const
    await world.configure(({ outputs }) => {
      const config = { ...outputs.devo_1?.config, port: other.receiver.port }
      for (const [key, name] of [['chain', 'chain.crt'], ['cert', 'me.crt'], ['key', 'me.key']] as const) Object.assign(config, { [key]: join(other.dir, 'certs', name) })
      outputs.devo_2 = { type: 'devo_platform', config }
    })
    expect(await world.run(['run', '--once'])).toMatchObject({ code: 0 })
    world.add(addedLater)
    await world.configure(({ outputs }) => Object.assign(outputs.devo_2 ?? {}, { enabled: false }))
    expect(await world.run(['run', '--once'])).toMatchObject({ code: 0 })
    await world.configure(({ outputs }) => Object.assign(outputs.devo_2 ?? {}, { enabled: true }))
    expect(await world.run(['run', '--once'])).toMatchObject({ code: 0 })
    expect(world.compare()).toMatchObject(FULL)
    expect(other.lines.map((line) => parseLine(line).text)).toEqual([`clicksBlocked ${JSON.stringify(addedLater.content)}`])
  })
})

describe('certificates', () => {
  test('that are replaced while the collector runs count from the next connection', async () => {
    const world = await makeWorld({ traffic: { until } })
    const collector = world.start(['run'])
    await world.allArrive(until)
    const authority = await makeAuthority({ commonName: 'The next authority' })
    const [server, client] = await Promise.all([authority.issue({ commonName: 'Devo' }), authority.issue({ commonName: 'me', client: true })])
    world.receiver.useCertificate(server, authority.certPem)
    world.add({ service: 'clicksBlocked', createdAt: Date.now() - MINUTE_MS, content: { id: 'after the rotation' } })
    await collector.logged('chain.crt')
    await writePemFiles(join(world.dir, 'certs'), { 'chain.crt': authority.certPem, 'me.crt': client.certPem, 'me.key': client.keyPem })
    await world.allArrive(until)
    await collector.logged('works again')
    expect(await collector.stop()).toMatchObject({ code: 0 })
    expect(world.compare()).toMatchObject(FULL)
  })
})

test('a start in the future waits', async () => {
  const start = Date.now() + 60 * MINUTE_MS
  const world = await makeWorld({
    configure: ({ inputs }) => {
      for (const service of Object.values(inputs.proofpoint_tap?.services ?? {})) service.start_time_in_utc_format = writeTime(start)
    },
  })
  expect(await world.run(['run', '--once'])).toMatchObject({ code: 0 })
  expect(world.arrivals.total).toBe(0)
})
