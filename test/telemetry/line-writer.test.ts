import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const WRITER = fileURLToPath(new URL('../../src/telemetry/line-writer.ts', import.meta.url))

test('a reader that stops reading is not waited for; when it reads again it gets whole lines and learns how many are missing', async () => {
  // The child's standard output is a pipe that nobody reads until it has written far more than the pipe holds.
  const script = `
    const { LineWriter } = await import(${JSON.stringify(WRITER)})
    process.stdout._handle?.setBlocking?.(false)
    const writer = new LineWriter(1)
    const tell = (lines) => 'dropped ' + lines + '\\n'
    const began = performance.now()
    for (let index = 0; index < 3000; index += 1) writer.write('line ' + index + ' ' + 'x'.repeat(100) + '\\n', tell)
    process.stderr.write(String(Math.round(performance.now() - began)) + '\\n')
    process.stdin.on('data', (data) => {
      if (String(data) === 'ping\\n') return process.stderr.write('pong\\n')
      writer.write('last\\n', tell)
      process.exit(0)
    })`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['pipe', 'pipe', 'pipe'] })
  const [took] = (await once(child.stderr, 'data')) as [Buffer]
  expect(Number(took.toString())).toBeLessThan(2_000)
  let text = ''
  child.stdout.on('data', (data: Buffer) => (text += data.toString()))
  while (!text.includes('line 100 ')) await once(child.stdout, 'data')
  // What the socket holds comes in pieces: after an answer that was asked for later, all of it is here.
  for (let turn = 0; turn < 3; turn += 1) {
    child.stdin.write('ping\n')
    await once(child.stderr, 'data')
  }
  child.stdin.write('go\n')
  await once(child, 'close')
  const lines = text.trimEnd().split('\n')
  const whole = lines.filter((line) => /^line \d+ x{100}$/.test(line))
  expect(lines.slice(-2)).toEqual([`dropped ${3000 - whole.length}`, 'last'])
  expect(whole).toHaveLength(lines.length - 2)
})
