// Makes a checkout ready: installs what package-lock.json names and builds dist/, each only when it is out of date.
// Runs on whatever Node the machine has; what comes after it uses the pinned one.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const stamps = join(root, 'node_modules', '.cache', 'ready')

step('install', ['package.json', 'package-lock.json'], ['node_modules/.bin/tsc', 'node_modules/.bin/node'], () => {
  say('Installing the dependencies (npm ci) ...')
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'])
})
step('build', ['tsconfig.json', 'tsconfig.build.json', 'package-lock.json', ...files('src')], ['dist/cli.js'], () => {
  say('Building dist/ ...')
  rmSync(join(root, 'dist'), { recursive: true, force: true })
  run('npm', ['run', '--silent', 'build'])
})

function step(name, inputs, outputs, work) {
  const hash = createHash('sha256')
  for (const input of inputs) hash.update(`${input}\0`).update(readFileSync(join(root, input)))
  const stamp = join(stamps, name)
  const wanted = hash.digest('hex')
  const done = outputs.every((output) => existsSync(join(root, output))) && existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted
  if (done) return
  work()
  mkdirSync(stamps, { recursive: true })
  writeFileSync(stamp, wanted)
}

function files(folder) {
  return readdirSync(join(root, folder))
    .sort()
    .flatMap((name) => (statSync(join(root, folder, name)).isDirectory() ? files(join(folder, name)) : [join(folder, name)]))
}

function run(command, args) {
  // npm's own notices about the machine's Node version would only confuse: the pinned one does the work
  const result = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], shell: process.platform === 'win32' })
  if (result.error) throw result.error
  if (result.status !== 0) process.exit(result.status ?? 1)
}

function say(text) {
  process.stderr.write(`${text}\n`)
}
