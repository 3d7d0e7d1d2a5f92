import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { systemClock } from '../../src/pipeline/clock.ts'
import { loadFactory, make } from '../../src/plug-ins/load.ts'
import { createPlugInSink } from '../../src/plug-ins/sink.ts'
import { createPlugInTransform } from '../../src/plug-ins/transform.ts'
import { ManualClock } from '../sinks/manual-clock.ts'
import { context, folder, plugIn, plugInConfig } from './plug-in.ts'

const execute = promisify(execFile)

/** What a package's factory gives, or why there is none, by Node's own loader: the tests have another one. */
async function loaded(root: string, specifier: string): Promise<string> {
  const code = `
    import { loadFactory } from ${JSON.stringify(new URL('../../src/plug-ins/load.ts', import.meta.url).href)}
    import { systemClock } from ${JSON.stringify(new URL('../../src/pipeline/clock.ts', import.meta.url).href)}
    const plugIn = ${JSON.stringify(plugInConfig(root, specifier))}
    console.log(await loadFactory(plugIn, 'createSink', systemClock).then((create) => create({}, {}), (error) => error.message))`
  const { stdout, stderr } = await execute(process.execPath, ['--input-type=module', '--eval', code])
  expect(stderr).toBe('')
  return stdout.trimEnd()
}

const SINK = `{ maxShipmentsInFlight: 1, ship() { return async () => {} }, async check() {}, async close() {} }`

describe('a plug-in', () => {
  it('is a file, by its path from the root', async () => {
    const root = await folder({ 'own/sink.mjs': `import { text } from './text.mjs'\nexport const createSink = () => text`, 'own/text.mjs': `export const text = 'loaded'` })
    expect((await loadFactory(plugInConfig(root, './own/sink.mjs'), 'createSink', systemClock))({}, {})).toBe('loaded')
    expect((await loadFactory(plugInConfig('/nowhere', `${root}/own/sink.mjs`), 'createSink', systemClock))({}, {})).toBe('loaded')
  })

  it.each(['acme-output', '@acme/output'])('is a package beside the configuration: %s', async (name) => {
    const root = await folder({
      [`node_modules/${name}/package.json`]: JSON.stringify({ name, type: 'module', exports: { import: './main.js' } }),
      [`node_modules/${name}/main.js`]: `export const createSink = () => 'of the package'`,
    })
    expect(await loaded(root, name)).toBe('of the package')
    expect(await loaded(root, 'not-installed')).toBe(`outputs.own.type: plug-in not-installed cannot be used: there is no package not-installed in ${root}; install it there with npm`)
  })

  it.each([
    ['exports nothing', '', 'plug-in ./own.mjs has no function createSink among its exports (it exports nothing)'],
    ['exports something else', 'export default 1; export const createSink = 2', 'plug-in ./own.mjs has no function createSink among its exports (createSink, default)'],
    ['throws', `throw new Error('no such thing')`, 'plug-in ./own.mjs cannot be loaded: no such thing'],
    ['is no JavaScript', 'export const = 1', 'plug-in ./own.mjs cannot be loaded: '],
    ['lacks what it needs', `import 'not-installed-either'`, 'plug-in ./own.mjs cannot be loaded: '],
    ['throws when the sink is made', `export function createSink() { throw new Error('bucket is missing') }`, 'plug-in ./own.mjs refuses to be made: bucket is missing'],
    ['rejects when the sink is made', `export async function createSink() { throw new Error('bucket is missing') }`, 'plug-in ./own.mjs refuses to be made: bucket is missing'],
    ['makes nothing', 'export function createSink() {}', 'plug-in ./own.mjs gives no sink: createSink must return'],
    ['makes half a sink', `export const createSink = () => ({ ...${SINK}, close: undefined })`, 'plug-in ./own.mjs gives no sink'],
    ['takes no shipments', `export const createSink = () => ({ ...${SINK}, maxShipmentsInFlight: 0 })`, 'plug-in ./own.mjs gives no sink'],
  ])('that %s is an error of the configuration with its name', async (_name, code, message) => {
    await expect(createPlugInSink(await plugIn(code), context())).rejects.toMatchObject({
      name: 'ConfigurationError',
      problems: [{ path: 'outputs.own.type', message: expect.stringContaining(message) as unknown }],
    })
  })

  it('that waits for ever is given up, when it is loaded and when it is made', async () => {
    const clock = new ManualClock()
    const waiting = await plugIn('await new Promise(() => {}); export const createSink = 1')
    for (const [work, message] of [
      [() => loadFactory(waiting, 'createSink', clock), 'was not loaded within 30 s'],
      [() => make(waiting, () => new Promise(() => undefined), {}, clock), 'was not made within 30 s'],
    ] as const) {
      const failed = expect(work()).rejects.toThrow(message)
      expect(clock.pendingTimers).toBe(1)
      clock.advance(30_000)
      await failed
      expect(clock.pendingTimers).toBe(0)
    }
  })

  it('as a transform must give a function', async () => {
    await expect(createPlugInTransform(await plugIn('export const createTransform = () => 1'), context())).rejects.toThrow(
      'plug-in ./own.mjs gives no transform: createTransform must return a function of a batch',
    )
    await expect(createPlugInTransform(await plugIn('export const createSink = 1'), context())).rejects.toThrow('has no function createTransform')
  })
})
