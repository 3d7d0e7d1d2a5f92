import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createPlugInSink } from '../../src/plug-ins/sink.ts'
import { createPlugInTransform } from '../../src/plug-ins/transform.ts'
import { batchOf } from '../contract/batches.ts'
import { sinkContract, type SinkHarness } from '../contract/sink-suite.ts'
import { textsOf } from '../transforms/model.ts'
import { context, plugInConfig } from './plug-in.ts'

const EXAMPLES = join(import.meta.dirname, '../../examples/plug-ins')

/** Each shipment is a file of its own once the command has it whole; `fail` and `wait` are files that tell the command what to do. */
const COMMAND = 'exec 2> /dev/null; cd "$0" && while [ -e wait ]; do sleep 0.05; done && [ ! -e fail ] && cat > $$.part && mv $$.part $$.json'

async function commandHarness(): Promise<SinkHarness> {
  const dir = await mkdtemp(join(tmpdir(), 'tap-command-'))
  const flag = (name: string) => ({
    begin: async () => writeFile(join(dir, name), ''),
    heal: async () => rm(join(dir, name)),
  })
  const sink = await createPlugInSink(plugInConfig(EXAMPLES, './command-sink.mjs', { command: ['sh', '-c', COMMAND, dir] }), context())
  return {
    createSink: () => sink,
    async received() {
      const files = (await readdir(dir)).filter((name) => name.endsWith('.json'))
      const texts = await Promise.all(files.map(async (name) => readFile(join(dir, name), 'utf8')))
      return texts.join('').split('\n').slice(0, -1)
    },
    faults: [
      { name: 'ends with an error', ...flag('fail'), effect: 'fails' },
      { name: 'reads nothing', ...flag('wait'), effect: 'waits' },
    ],
    close: async () => rm(dir, { recursive: true, force: true }),
  }
}

sinkContract('the example of a command', commandHarness, ['ends with an error', 'reads nothing'])

describe('the example of a command', () => {
  it.each([
    [{}, 'command must be a list'],
    [{ command: 'sh' }, 'command must be a list'],
    [{ command: ['sh'], args: [] }, 'args is not a known key'],
  ])('says what is wrong with its options: %j', async (options, message) => {
    await expect(createPlugInSink(plugInConfig(EXAMPLES, './command-sink.mjs', options), context())).rejects.toThrow(`refuses to be made: ${message}`)
  })

  it('says in its check that there is no such command', async () => {
    const sink = await createPlugInSink(plugInConfig(EXAMPLES, './command-sink.mjs', { command: ['no-such-command'] }), context())
    await expect(sink.check(new AbortController().signal)).rejects.toThrow('plug-in ./command-sink.mjs: there is no command no-such-command')
    await sink.close()
  })
})

describe('the example of a member that is added', () => {
  it('adds it last and leaves all other bytes', async () => {
    const transform = await createPlugInTransform(plugInConfig(EXAMPLES, './add-member.mjs', { name: 'site', value: 'Berlin' }), context())
    const left = transform(batchOf(['{"n":12345678901234567890, "z":0.0}', '{}']), () => undefined)
    expect(left === null ? null : textsOf(left)).toEqual(['{"n":12345678901234567890, "z":0.0,"site":"Berlin"}', '{"site":"Berlin"}'])
  })
})
