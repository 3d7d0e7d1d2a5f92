// npm test [-- what vitest takes]: type check and lint beside all tests, which wait for a good part of their time. What the checks find is told at once, and
// again at the end, behind the tests' own result.
import { spawn, type ChildProcess } from 'node:child_process'
import { constants, setPriority } from 'node:os'
import { resolve } from 'node:path'
import { text } from 'node:stream/consumers'

const CHECKS = [
  ['typescript/bin/tsc', '--noEmit'],
  ['eslint/bin/eslint.js', '.'],
  ['knip/bin/knip.js'],
] as const

/** The tests start hundreds of processes of the same modules, which are compiled once. */
const env = { ...process.env, NODE_COMPILE_CACHE: resolve('node_modules/.cache/compiled') }
const running = new Set<ChildProcess>()
const stop = new AbortController()
// The terminal sends its Ctrl-C to all of them; the tests have brokers to end, which is waited for.
process.on('SIGINT', () => stop.abort())
process.on('SIGTERM', () => {
  stop.abort()
  for (const child of running) child.kill('SIGTERM')
})

/** Its exit code; null where a signal has ended it. */
async function endOf(child: ChildProcess): Promise<number | null> {
  running.add(child)
  const { promise, resolve, reject } = Promise.withResolvers<number | null>()
  child.once('error', reject).once('close', resolve)
  return promise.finally(() => running.delete(child))
}

/** What it has found; empty where that is nothing. */
async function check([program, ...args]: (typeof CHECKS)[number]): Promise<string> {
  const child = spawn(process.execPath, [`node_modules/${program}`, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  // No test must get slow because of it.
  if (child.pid !== undefined) setPriority(child.pid, constants.priority.PRIORITY_BELOW_NORMAL)
  const [out, error, code] = await Promise.all([text(child.stdout), text(child.stderr), endOf(child)])
  if (code === 0) return ''
  const found = `${program}, which has ended with ${code ?? 'a signal'}:\n${out}${error}\n`
  process.stderr.write(`\n${found}`)
  return found
}

/** One after the other: together they would take the tests' second core. */
async function checkAll(): Promise<string> {
  let found = ''
  for (const one of CHECKS) if (!stop.signal.aborted) found += await check(one)
  return found
}

const tests = endOf(spawn(process.execPath, ['node_modules/vitest/vitest.mjs', 'run', ...process.argv.slice(2)], { env, stdio: 'inherit' }))
const [code, found] = await Promise.all([tests, checkAll()])
if (found !== '') process.stderr.write(`\nBeside the tests:\n${found}`)
process.exitCode = code === 0 && (found !== '' || stop.signal.aborted) ? 1 : (code ?? 1)
