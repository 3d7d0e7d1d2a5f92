import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { makeAuthority, writePemFiles } from '../../src/simulator/certificates.ts'
import { behaviours } from '../../src/simulator/devo-behaviours.ts'
import { makeWorld, type World } from './world.ts'

/** Requests that the API counted, by pool. */
function counted(world: World): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { pool, counted: isCounted } of world.model.log.entries) if (isCounted) counts[pool] = (counts[pool] ?? 0) + 1
  return counts
}

describe('validate', () => {
  test('reads file, certificates and state, touches neither side nor the state, and ends with 0', async () => {
    const world = await makeWorld()
    const { code, stdout, stderr } = await world.run(['validate'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toContain('4 services')
    expect(world.model.log.entries).toEqual([])
    expect(world.receiver.connections.accepted).toBe(0)
    expect(await readdir(world.stateDir)).toEqual([])
  })

  test('ends with 2 where the state is damaged', async () => {
    const world = await makeWorld()
    await writeFile(join(world.stateDir, 'buffer.db'), 'this is no database, whatever else it may be. '.repeat(100))
    const { code, stderr } = await world.run(['validate'])
    expect(code).toBe(2)
    expect(stderr).toMatch(/buffer\.db/)
  })

  test('ends with 2 for a client certificate that has expired, and warns of one that does soon', async () => {
    const world = await makeWorld()
    const authority = await makeAuthority({ commonName: 'Another authority' })
    for (const [validity, expected] of [['expired', 2], [{ expiresInDays: 10 }, 0]] as const) {
      const client = await authority.issue({ commonName: 'me', client: true, validity })
      await writePemFiles(join(world.dir, 'certs'), { 'me.crt': client.certPem, 'me.key': client.keyPem })
      const { code, stdout, stderr } = await world.run(['validate'])
      expect(code).toBe(expected)
      expect(stdout + stderr).toMatch(/outputs\.devo_1\.config\.cert.*expire/)
    }
  })

  test('ends with 2 for a key that does not match', async () => {
    const world = await makeWorld()
    const authority = await makeAuthority({ commonName: 'Another authority' })
    await writePemFiles(join(world.dir, 'certs'), { 'me.key': (await authority.issue({ commonName: 'me', client: true })).keyPem })
    expect(await world.run(['validate'])).toMatchObject({ code: 2, stderr: expect.stringMatching(/me\.key does not match/) as string })
  })
})

describe('validate --connect', () => {
  test('asks each pool once, opens the output without an event, and ends with 0', async () => {
    const world = await makeWorld({ perHour: 600 })
    const { code, stdout } = await world.run(['validate', '--connect'])
    expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringContaining('output devo_1') as string })
    expect(stdout).toContain('input proofpoint_tap')
    expect(stdout).not.toContain('failed')
    expect(counted(world)).toEqual({ siem: 1, clicks_permitted: 1 })
    for (const { window } of world.model.log.entries) expect((window?.to ?? 0) - (window?.from ?? 0)).toBe(30_000)
    expect(world.receiver.connections).toMatchObject({ secured: 1, withData: 0 })
    // The requests are in the quota log that the collector will go by, and no event is lost to the check.
    const status = JSON.parse((await world.run(['status', '--json'])).stdout) as { pools: { used: number }[] }
    expect(status.pools.map(({ used }) => used)).toEqual([1, 1])
    expect(await world.run(['run', '--once'])).toMatchObject({ code: 0 })
    expect(world.compare()).toMatchObject({ missing: [], surplus: [] })
  })

  test('works beside a running collector, in whose quota log its two requests are', async () => {
    const world = await makeWorld({
      configure: ({ inputs }) => {
        // One pass and no other: so every further request is the check's.
        for (const service of Object.values(inputs.proofpoint_tap?.services ?? {})) service.request_period_in_seconds = 3_600
      },
    })
    const used = async () => (JSON.parse((await world.run(['status', '--json'])).stdout) as { pools: { used: number }[] }).pools.map((pool) => pool.used)
    const collector = world.start(['run'])
    await collector.until(() => collector.log.filter(({ msg }) => msg === 'The data is up to date!').length === 4, 'all four services being up to date')
    const before = await used()
    const { code, stdout } = await world.run(['validate', '--connect'])
    expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringContaining('ok       output devo_1') as string })
    expect(await used()).toEqual(before.map((requests) => requests + 1))
    expect(Object.values(counted(world)).sort()).toEqual((await used()).sort())
    expect(await collector.stop()).toMatchObject({ code: 0 })
    expect(await world.run(['run', '--once'])).toMatchObject({ code: 0 })
    expect(world.compare()).toMatchObject({ missing: [], surplus: [] })
  })

  test.each<[string, (world: World) => unknown, RegExp]>([
    ['the password is wrong', (world) => world.configure(({ inputs }) => Object.assign(inputs.proofpoint_tap?.credentials ?? {}, { password: 'wrong-password' })), /failed +input proofpoint_tap: .*401/],
    ['one service is not allowed', (world) => world.model.configure({ entitled: ['/v2/siem/clicks/blocked'] }), /failed +input proofpoint_tap: .*403/],
    ['the API is not there', (world) => world.tap.refuseConnections(), /failed +input proofpoint_tap: .*ECONNREFUSED/],
    ['the receiver is dead', (world) => world.receiver.refuseConnections(), /failed +output devo_1 .*ECONNREFUSED/],
    ['the receiver refuses the client', (world) => (world.receiver.behaviour = behaviours.refuseClient()), /failed +output devo_1 .*certificate/],
    ['the receiver has a certificate of another authority', async (world) => {
      const authority = await makeAuthority({ commonName: 'Nobody knows it' })
      world.receiver.useCertificate(await authority.issue({ commonName: 'Devo' }))
    }, /failed +output devo_1 .*chain\.crt/],
    ['the API has a certificate of another authority', async (world) => {
      const authority = await makeAuthority({ commonName: 'Nobody knows it' })
      world.tap.useCertificate(await authority.issue({ commonName: 'TAP' }))
    }, /failed +input proofpoint_tap: .*certificate/],
  ])('ends with 3 where %s, and says so', async (_, breakIt, message) => {
    const world = await makeWorld()
    await breakIt(world)
    const { code, stdout, stderr } = await world.run(['validate', '--connect'])
    expect(stdout).toMatch(message)
    expect(code).toBe(3)
    expect(stdout + stderr).not.toContain('wrong-password')
    expect(world.receiver.events).toBe(0)
  })
})
