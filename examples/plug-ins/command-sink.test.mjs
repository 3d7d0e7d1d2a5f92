/** The contract of sinks on the example, by Node's own runner: `node --test` in this folder. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { sinkContract, testTools } from 'devo-proofpoint-tap-collector/contract'
import { createSink } from './command-sink.mjs'

/** Each shipment is a file of its own once the command has it whole; the file `fail` tells the command to fail. */
const COMMAND = 'exec 2> /dev/null; cd "$0" && [ ! -e fail ] && cat > $$.part && mv $$.part $$.json'

async function makeHarness() {
  const dir = await mkdtemp(join(tmpdir(), 'command-sink-'))
  return {
    createSink: () => createSink({ command: ['sh', '-c', COMMAND, dir] }, testTools()),
    async received() {
      const names = (await readdir(dir)).filter((name) => name.endsWith('.json'))
      const texts = await Promise.all(names.map((name) => readFile(join(dir, name), 'utf8')))
      return texts.join('').split('\n').slice(0, -1)
    },
    faults: [{ name: 'ends with an error', effect: 'fails', begin: () => writeFile(join(dir, 'fail'), ''), heal: () => rm(join(dir, 'fail')) }],
    close: () => rm(dir, { recursive: true, force: true }),
  }
}

sinkContract('a command', makeHarness, ['ends with an error'], { describe, test, beforeEach, afterEach })
