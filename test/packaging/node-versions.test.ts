import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { textOf } from '../compose/compose.ts'
import { makeWorld, MINUTE_MS } from '../e2e/world.ts'

const INSTALL = fileURLToPath(new URL('../../scripts/install-nodes.sh', import.meta.url))
const there = spawnSync('bash', [INSTALL, '--check'], { encoding: 'utf8' })
const folder = there.stdout.trim()
const versions = /^versions='(.*)'$/m.exec(textOf('scripts/install-nodes.sh'))?.[1]?.split(' ') ?? []
const [tooOld = '', oldest = ''] = versions
const nodeOf = (version: string) => join(folder, version, 'node_modules/node/bin/node')

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
    const options = { node: nodeOf(version), env: { NODE_OPTIONS: '--throw-deprecation --trace-deprecation' } }
    const ended = await world.run(['run', '--once'], options)
    expect(ended).toMatchObject({ code: 0, stderr: '' })
    await world.allArrive(until)
    const { missing, surplus, expected } = world.compare()
    expect({ missing, surplus }).toEqual({ missing: [], surplus: [] })
    expect(expected).toBeGreaterThan(100)
    for (const args of [['status'], ['validate', '--connect'], ['dead-letters', 'list']]) expect(await world.run(args, options), args.join(' ')).toMatchObject({ code: 0 })
  })
})
