import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { PassThrough, Writable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import { createConsoleSink, type ConsoleConfig } from '../../../src/sinks/console/sink.ts'
import { batchOf, batchesOf } from '../../contract/batches.ts'
import { shipAll, sinkContract, type SinkHarness } from '../../contract/sink-suite.ts'

const SETTINGS = { name: 'console', hostName: 'collector-1', tagOf: () => 'mail.proofpoint.tapsiem_v2.clicksblocked' }

/** A standard output that can be made to stand still or to fail, as a pipe does whose reader waits or has gone. */
class Pipe extends Writable {
  text = ''
  mode: 'takes' | 'stands still' | 'fails' = 'takes'
  #held: (() => void) | null = null

  constructor() {
    // A process's standard output is not destroyed by an error.
    super({ autoDestroy: false, emitClose: false })
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    if (this.mode === 'fails') {
      callback(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }))
      return
    }
    const take = (): void => {
      this.text += chunk.toString()
      callback()
    }
    if (this.mode === 'takes') take()
    else this.#held = take
  }

  release(): void {
    this.mode = 'takes'
    this.#held?.()
    this.#held = null
  }
}

function harnessOf(format: ConsoleConfig['format']): () => Promise<SinkHarness> {
  return async () => {
    const pipe = new Pipe()
    return {
      createSink: () => createConsoleSink({ format }, { ...SETTINGS, stdout: pipe }),
      received: () => pipe.text.split('\n').slice(0, -1).map((line) => line.slice(line.indexOf('{'))),
      faults: [{
        name: 'stands still', effect: 'waits',
        begin: () => void (pipe.mode = 'stands still'),
        heal: () => pipe.release(),
      }],
      close: async () => pipe.release(),
    }
  }
}

describe('console', () => {
  test('line: as on the wire to Devo; ndjson: the same JSON', async () => {
    const batch = batchOf(['{"a":1}', '{}'], { environment: 'prod' })
    const shown: Record<string, string> = {}
    for (const format of ['line', 'ndjson'] as const) {
      const stdout = new PassThrough()
      const sink = createConsoleSink({ format }, { ...SETTINGS, stdout })
      await shipAll(sink, [batch])
      expect(stdout.writableEnded).toBe(false)
      await sink.close()
      shown[format] = await text(stdout.end())
    }
    const json = ['{"a":1,"@devo_pulling_id":"1700000000123","@devo_environment":"prod"}', '{"@devo_pulling_id":"1700000000123","@devo_environment":"prod"}']
    expect(shown.ndjson).toBe(json.map((line) => `${line}\n`).join(''))
    expect(shown.line).toBe(json.map((line) => `<14>2023-11-14 22:13:20.123 collector-1 mail.proofpoint.tapsiem_v2.clicksblocked: ${line}\n`).join(''))
  })

  test('a write that fails fails the shipment, and not the process', async () => {
    const pipe = new Pipe()
    pipe.mode = 'fails'
    const sink = createConsoleSink({ format: 'line' }, { ...SETTINGS, stdout: pipe })
    await expect(shipAll(sink, batchesOf('a', 20).batches)).rejects.toThrow('its reader has gone')
    await sink.close()
  })

  test('leaves no listener on standard output', async () => {
    const pipe = new Pipe()
    for (let round = 0; round < 20; round++) {
      const sink = createConsoleSink({ format: 'line' }, { ...SETTINGS, stdout: pipe })
      await shipAll(sink, batchesOf('a', 20).batches)
      await sink.close()
      await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
    }
    expect(pipe.listenerCount('error')).toBe(0)
  })

  test('a real standard output: everything is written, and a reader that leaves is an error', async () => {
    const module = new URL('./print.ts', import.meta.url).pathname
    const whole = spawn(process.execPath, [module, '500'], { stdio: ['ignore', 'pipe', 'pipe'] })
    const [printed, said] = await Promise.all([text(whole.stdout), text(whole.stderr)])
    expect(printed.split('\n').length - 1).toBe(500)
    expect(said).toContain('delivered')
    const cut = spawn(process.execPath, [module, '500000'], { stdio: ['ignore', 'pipe', 'pipe'] })
    await once(cut.stdout, 'data')
    cut.stdout.destroy()
    expect(await text(cut.stderr)).toContain('failed: standard output does not take events: its reader has gone')
    await once(cut, 'close')
  })
})

sinkContract('console, line', harnessOf('line'), ['stands still'])
sinkContract('console, ndjson', harnessOf('ndjson'), ['stands still'])
