import { execFile } from 'node:child_process'
import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { parseLine } from './arrivals.ts'
import { makeWorld, MINUTE_MS } from './world.ts'

const execute = promisify(execFile)
const until = Date.now() - 2 * MINUTE_MS
const FULL = { missing: [], surplus: [] }
const EXAMPLES = join(import.meta.dirname, '../../examples/plug-ins')

describe('transforms', () => {
  test('decide for their output alone what leaves, and in which form', async () => {
    const world = await makeWorld({
      traffic: { until },
      configure: ({ outputs }) => {
        outputs.screen = {
          type: 'console',
          config: { format: 'ndjson' },
          transforms: [
            { filter: { keep: { field: '/classification', in: ['phish', 'malware'] } } },
            { redact: { fields: ['/recipient', '/sender'], action: 'hash', key: '${HASH_KEY}' } },
          ],
        }
      },
    })
    const { code, stdout, stderr } = await world.run(['run', '--once'], { env: { HASH_KEY: 'a key that is never shown' } })
    expect(code).toBe(0)
    expect(world.compare()).toMatchObject(FULL)
    const sent = world.lines.map((line) => JSON.parse(parseLine(line).json) as Record<string, unknown>)
    const wanted = sent.filter(({ classification }) => classification === 'phish' || classification === 'malware')
    const shown = stdout.trimEnd().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>)
    expect(wanted.length).toBeGreaterThan(0)
    expect(shown.map(({ id, GUID }) => `${String(id)} ${String(GUID)}`).sort()).toEqual(wanted.map(({ id, GUID }) => `${String(id)} ${String(GUID)}`).sort())
    expect(shown.filter(({ recipient }) => typeof recipient === 'string' && !/^[0-9a-f]{64}$/.test(recipient))).toEqual([])
    expect(stderr).not.toContain('a key that is never shown')
  })
})

describe('plug-ins', () => {
  test('get everything; one that fails and one that never ends wait by themselves', async () => {
    const world = await makeWorld({ traffic: { until } })
    const store = join(world.dir, 'store')
    await mkdir(store)
    await copyFile(join(EXAMPLES, 'command-sink.mjs'), join(world.dir, 'command-sink.mjs'))
    await copyFile(join(EXAMPLES, 'add-member.mjs'), join(world.dir, 'add-member.mjs'))
    const other = (ship: string) =>
      `export const createSink = () => ({ maxShipmentsInFlight: 1, async check() {}, async close() {}, ship() { ${ship} } })`
    await writeFile(join(world.dir, 'broken.mjs'), other(`return async () => { throw new Error('nobody is there') }`))
    await writeFile(join(world.dir, 'endless.mjs'), other('return () => new Promise(() => {})'))
    await world.configure(({ outputs }) => {
      const command = ['sh', '-c', 'cat > "$0"/$$.part && mv "$0"/$$.part "$0"/$$.json', '${STORE}']
      outputs.own = { type: './command-sink.mjs', config: { command }, transforms: [{ './add-member.mjs': { name: 'site', value: 'Berlin' } }] }
      outputs.broken = { type: './broken.mjs', config: {} }
      outputs.endless = { type: './endless.mjs', config: {} }
    })
    const env = { STORE: store }
    expect(await world.run(['validate'], { env })).toMatchObject({ code: 0 })
    const collector = world.start(['run'], { env })
    await world.allArrive(until)
    expect((await collector.logged('Delivery to broken failed')).msg).toContain('plug-in ./broken.mjs: nobody is there')

    expect(await collector.stop()).toMatchObject({ code: 0 })
    // What the first run did not come to, for it was stopped, the second one delivers.
    await world.configure(({ outputs }) => {
      for (const name of ['broken', 'endless']) Object.assign(outputs[name] ?? {}, { enabled: false })
    })
    expect(await world.run(['run', '--once'], { env })).toMatchObject({ code: 0 })
    expect(world.compare().missing).toEqual([])
    const files = (await readdir(store)).filter((file) => file.endsWith('.json'))
    const stored = (await Promise.all(files.map(async (file) => readFile(join(store, file), 'utf8')))).join('').trimEnd().split('\n')
    expect(stored.filter((line) => !line.includes(',"site":"Berlin"'))).toEqual([])
    expect(new Set(stored.map((line) => line.replace(',"site":"Berlin"', '')))).toEqual(new Set(world.lines.map((line) => parseLine(line).json)))
  })

  test('that cannot be used are errors of the configuration, all at once, before anything is read', async () => {
    const world = await makeWorld({ perHour: 0 })
    await writeFile(join(world.dir, 'empty.mjs'), '')
    await writeFile(join(world.dir, 'throws.mjs'), `throw new Error('no such thing')`)
    await writeFile(join(world.dir, 'config/broken.mjs'), 'export const = 1')
    await world.configure(({ outputs }) => {
      outputs.one = { type: './empty.mjs', config: {} }
      outputs.two = { type: './throws.mjs', config: {} }
      outputs.three = { type: 'not-installed', config: {}, transforms: ['./config/broken.mjs'] }
    })
    for (const args of [['validate'], ['run', '--once']]) {
      const { code, stderr } = await world.run(args)
      expect(code).toBe(2)
      expect(stderr).toContain('outputs.one.type: plug-in ./empty.mjs has no function createSink among its exports (it exports nothing)')
      expect(stderr).toContain('outputs.two.type: plug-in ./throws.mjs cannot be loaded: no such thing')
      expect(stderr).toContain(`outputs.three.type: plug-in not-installed cannot be used: there is no package not-installed in ${world.dir}`)
      expect(stderr).toContain(`outputs.three.transforms[0]: plug-in ./config/broken.mjs cannot be loaded: Unexpected token '='`)
    }
    await world.configure(({ outputs }) => {
      outputs.one = { type: './gone.mjs', config: {} }
    })
    const { code, stderr } = await world.run(['status'])
    expect(code).toBe(2)
    expect(stderr).toContain(`outputs.one.type: the plug-in ${join(world.dir, 'gone.mjs')} does not exist`)
  })
})

describe('the package', () => {
  test('has the contract for the tests of a plug-in: those of the examples pass with the runner of Node', async () => {
    const files = (await readdir(EXAMPLES)).filter((name) => name.endsWith('.test.mjs')).map((name) => join(EXAMPLES, name))
    expect(files).toHaveLength(2)
    const { stdout } = await execute(process.execPath, ['--test', '--test-reporter', 'tap', ...files], { env: { PATH: process.env.PATH } })
    expect(stdout).toMatch(/^# fail 0$/m)
    expect(Number(/^# pass (\d+)$/m.exec(stdout)?.[1])).toBeGreaterThan(15)
  })
})
