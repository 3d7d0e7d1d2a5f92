import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { expectOnceEach, makeKafkaWorld } from '../chaos/kafka-world.ts'
import { textOf } from '../compose/compose.ts'
import { makeWorld, MINUTE_MS, readableUntil, type World } from '../e2e/world.ts'
import { describeKafka, sharedBroker } from '../support/kafka.ts'

const INSTALL = fileURLToPath(new URL('../../scripts/install-nodes.sh', import.meta.url))
const there = spawnSync('bash', [INSTALL, '--check'], { encoding: 'utf8' })
const folder = there.stdout.trim()
const versions = /^versions='(.*)'$/m.exec(textOf('scripts/install-nodes.sh'))?.[1]?.split(' ') ?? []
const [tooOld = '', oldest = ''] = versions
const optionsFor = (version: string) => ({ node: nodeOf(version), env: { NODE_OPTIONS: '--throw-deprecation --trace-deprecation' } })
const nodeOf = (version: string) => join(folder, version, 'node_modules/node/bin/node')

/** What runs beside a collector runs side by side here. */
async function expectOthers(world: Pick<World, 'run'>, options: ReturnType<typeof optionsFor>): Promise<void> {
  const commands = [['status'], ['validate', '--connect'], ['dead-letters', 'list']]
  const ended = await Promise.all(commands.map((args) => world.run(args, options)))
  expect(ended.map(({ code, stderr }) => ({ code, stderr }))).toEqual(commands.map(() => ({ code: 0, stderr: '' })))
}

/** Without them a developer goes without, and the run says so; a build fails. */
describe.skipIf(process.env.CI === undefined && there.status !== 0)('Node', () => {
  test('versions are those of package.json: the first is too old, the second the oldest that will do', () => {
    const { engines } = JSON.parse(textOf('package.json')) as { engines: { node: string } } // npm's own form
    expect(oldest).toBe(`${engines.node.replace('>=', '')}.0`)
    expect(Number(tooOld.split('.')[0])).toBeLessThan(Number(oldest.split('.')[0]))
  })

  test('that is too old is told so in one line', async () => {
    const world = await makeWorld({ perHour: 0 })
    const { code, stdout, stderr } = await world.run(['run', '--once'], { node: nodeOf(tooOld) })
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(new RegExp(`^NodeTooOld \\[CODE:0100\\] tap-collector needs Node 22\\.19 or later, and this is Node ${tooOld.replaceAll('.', '\\.')}\\.[^\\n]*\\n$`))
  })

  test.each(versions.slice(1))('%s carries everything, and finds nothing deprecated', async (version) => {
    const until = Date.now() - 2 * MINUTE_MS
    const world = await makeWorld({ traffic: { until } })
    const options = optionsFor(version)
    const ended = await world.run(['run', '--once'], options)
    expect(ended).toMatchObject({ code: 0, stderr: '' })
    await world.allArrive(until)
    const { missing, surplus, expected } = world.compare()
    expect({ missing, surplus }).toEqual({ missing: [], surplus: [] })
    expect(expected).toBeGreaterThan(100)
    await expectOthers(world, options)
  })

  describeKafka('the newest one with a Kafka buffer', () => {
    test('carries everything as well, and finds nothing deprecated', async () => {
      const world = await makeKafkaWorld({ brokers: await sharedBroker(), backlogMinutes: 60, perHour: 400 })
      const options = optionsFor(versions.at(-1) ?? '')
      expect(await world.run(['run', '--once'], options)).toMatchObject({ code: 0, stderr: '' })
      await expectOnceEach(world, readableUntil())
      await expectOthers(world, options)
    })
  })
})
