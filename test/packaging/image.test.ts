import { execFile, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, chown, copyFile, cp, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { parse } from 'yaml'
import { textOf } from '../compose/compose.ts'
import { Collector } from '../e2e/collector.ts'
import { makeWorld, type World } from '../e2e/world.ts'
import { replay, type Image } from './dockerfile.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const run = promisify(execFile)
/** Somebody who is neither root nor who runs the tests; without root the folders stay the tester's. */
const isRoot = process.getuid?.() === 0
const OWNER = isRoot ? 12_345 : (process.getuid?.() ?? 0)

let dir: string
let image: Image
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'tap-image-'))
  await chmod(dir, 0o755)
  image = await replay(ROOT, dir, {
    'npm ci': async (folder) => {
      await run('cp', ['-a', join(ROOT, 'node_modules'), folder])
    },
    'npm run --silent build': async (folder) => cp(join(ROOT, 'dist'), join(folder, 'dist'), { recursive: true }),
  })
})
afterAll(async () => rm(dir, { recursive: true, force: true }))

/** Of a container, by the command lines of the old collector. */
interface Mounts {
  /** Folder of the user, folder of the image. */
  readonly volumes: readonly (readonly [string, string])[]
  readonly env: Readonly<Record<string, string>>
}

const migration = textOf('docs/migration.md')

function ofDockerRun(): Mounts {
  const command = /^docker run(?:.*\\\n)*.*$/m.exec(migration)?.[0] ?? ''
  return {
    volumes: [...command.matchAll(/--volume \$PWD\/(\S+):(\S+)/g)].map(([, from = '', to = '']) => [from, to]),
    env: Object.fromEntries([...command.matchAll(/--env (\w+)=(\S+)/g)].map(([, name = '', value = '']) => [name, value])),
  }
}

function ofCompose(): Mounts {
  const text = /```yaml\n(version: '3'\n[^`]*)```/.exec(migration)?.[1] ?? ''
  const { services } = parse(text) as { services: Record<string, { volumes: string[]; environment: string[] }> } // as the document has it
  const [service] = Object.values(services)
  if (service === undefined) throw new Error('no service')
  const { volumes, environment } = service
  return {
    volumes: volumes.map((volume) => [/^\.\/(.*):/.exec(volume)?.[1] ?? '', /:(.*)$/.exec(volume)?.[1] ?? '']),
    env: Object.fromEntries(environment.map((line) => [line.split('=')[0] ?? '', line.slice(line.indexOf('=') + 1).replace(/\$\{\w+:-(.*)\}/, '$1')])),
  }
}

/** The folders of a user who has run the old collector, all of them his. */
async function makeFolders(): Promise<World> {
  const world = await makeWorld({ perHour: 60, configure: ({ globals }) => (globals.http = { enabled: true, port: 0 }) })
  await copyFile(world.configPath, join(world.dir, 'config', 'config.yaml'))
  await chmod(world.dir, 0o755)
  for (const entry of await readdir(world.dir, { recursive: true })) await chown(join(world.dir, entry), OWNER, OWNER)
  return world
}

/** Starts what a container of the image starts, its mounts as links. */
async function start(world: World, { volumes, env }: Mounts, args: readonly string[]): Promise<Collector> {
  for (const [from, to] of volumes) {
    const mounted = join(image.root, to)
    expect(existsSync(mounted), `${to} is a folder of the image`).toBe(true)
    await rm(mounted, { recursive: true })
    await symlink(join(world.dir, from), mounted)
    onTestFinished(async () => {
      await rm(mounted)
      await mkdir(mounted)
    })
  }
  const [node, script = ''] = image.entrypoint
  expect(node).toBe('node')
  return new Collector(args, { cli: join(image.root, script), cwd: join(image.root, image.workdir), env: { ...image.env, ...env } })
}

async function isHealthy(port: number): Promise<boolean> {
  const [, ...args] = image.healthcheck.map((arg) => arg.replace(String(image.ports[0]), String(port)))
  return run(process.execPath, args).then(() => true, () => false)
}

test.each([['docker run', ofDockerRun], ['compose', ofCompose]])('%s of the old collector starts it, as the owner of state/, who may write nowhere else', async (_name, mountsOf) => {
  const mounts = mountsOf()
  expect(mounts.volumes.map(([, to]) => to)).toEqual(expect.arrayContaining(['certs', 'config', 'state'].map((name) => `/devo-collector/${name}`)))
  expect(mounts.env).toEqual({ CONFIG_FILE: 'config.yaml' })
  const world = await makeFolders()
  const collector = await start(world, mounts, image.command)
  const { host } = await collector.logged('Health at')
  expect(host).toBe('0.0.0.0')
  await world.receiver.until(() => world.receiver.events > 0)

  const status = await readFile(`/proc/${collector.pid}/status`, 'utf8')
  expect(status).toMatch(new RegExp(`^Uid:(?:\\t${OWNER}){4}$`, 'm'))
  if (isRoot) expect(status).toMatch(new RegExp(`^Groups:\\t${OWNER} ?$`, 'm'))
  const port = await collector.httpPort()
  expect(await isHealthy(port)).toBe(true)
  const paths = new Set(['embedded', 'kafka'].flatMap((name) => [...textOf(`deploy/kubernetes/${name}.yaml`).matchAll(/httpGet: \{path: ([^,]+),/g)].map(([, path = '']) => path)))
  for (const path of paths) expect((await fetch(`http://127.0.0.1:${port}${path}`)).status, path).toBe(200)
  // Signals reach it: it is the first process itself.
  expect(await collector.stop('SIGTERM')).toMatchObject({ code: 0, stderr: '' })
  expect(await isHealthy(port)).toBe(false)
  // What is in the log from warn on is worth being read: nothing here is.
  expect(collector.log.filter(({ level }) => level !== 'info')).toEqual([])

  const written = await readdir(world.stateDir)
  expect(written).toContain('buffer.db')
  for (const name of written) expect(await stat(join(world.stateDir, name)), name).toMatchObject({ uid: OWNER })
  // A file system that is read-only is enough for it: nothing of the image is the owner's.
  if (isRoot) expect((await run('find', [image.root, '-uid', String(OWNER)])).stdout).toBe('')
})

test('the image has what runs and nothing of what builds it', async () => {
  expect(image.user).toBeNull()
  expect(image.ports).toEqual([8080])
  const modules = await readdir(join(image.root, 'opt/tap-collector/node_modules'))
  const { dependencies, devDependencies } = JSON.parse(textOf('package.json')) as Record<'dependencies' | 'devDependencies', Record<string, string>> // npm's own form
  for (const name of Object.keys(dependencies)) expect(modules).toContain(name.split('/')[0])
  // Where the messages point to.
  for (const page of ['errors.md', 'kafka.md']) expect(existsSync(join(image.root, 'opt/tap-collector/docs', page)), page).toBe(true)
  for (const name of Object.keys(devDependencies)) expect(existsSync(join(image.root, 'opt/tap-collector/node_modules', name)), name).toBe(false)
})

test.runIf(isRoot)('with --user it is that user; root without the right to be another says what to do; where state/ is root\'s it says so', async () => {
  const world = await makeFolders()
  const script = join(image.root, image.entrypoint[1] ?? '')
  const version = (command: readonly string[], uid?: number) => {
    const [first, ...rest] = [...command, process.execPath, script, '--version']
    return spawnSync(first, rest, { cwd: world.dir, encoding: 'utf8', ...(uid !== undefined && { uid, gid: uid }) })
  }
  const { version: own } = JSON.parse(textOf('package.json')) as { version: string } // npm's own form
  const good = { status: 0, stdout: `${own}\n`, stderr: '' }
  expect(version([], 54_321)).toMatchObject(good)
  expect(version(['setpriv', '--bounding-set=-all'])).toMatchObject({ status: 2, stdout: '', stderr: expect.stringContaining(`--user ${OWNER}:${OWNER}`) as unknown }) // a matcher
  await chown(world.stateDir, 0, 0)
  expect(version([])).toMatchObject({ ...good, stderr: expect.stringContaining('runs as root') as unknown }) // a matcher
  await rm(world.stateDir, { recursive: true })
  expect(version([])).toMatchObject({ status: 2, stderr: expect.stringContaining('there is no folder state/') as unknown }) // a matcher
})
