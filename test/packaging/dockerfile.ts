import { execFile } from 'node:child_process'
import { mkdir, readFile } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'

/** One line of a Dockerfile: its word and what stands behind it, with continued lines joined. */
interface Instruction {
  readonly word: string
  readonly rest: string
}

/** What the last stage of a Dockerfile leaves: a folder in the place of its file system, and how a container of it starts. */
export interface Image {
  readonly root: string
  /** Absolute, in the image. */
  readonly workdir: string
  readonly env: Readonly<Record<string, string>>
  readonly user: string | null
  readonly ports: readonly number[]
  readonly entrypoint: readonly string[]
  readonly command: readonly string[]
  readonly healthcheck: readonly string[]
}

interface Stage {
  readonly name: string | null
  readonly root: string
  workdir: string
  readonly env: Record<string, string>
  user: string | null
  readonly ports: number[]
  entrypoint: readonly string[]
  command: readonly string[]
  healthcheck: readonly string[]
}

const run = promisify(execFile)

/**
 * Does what a Dockerfile says, without Docker: every stage is a folder, a path of the image one below it, and the base image the machine itself. The key of
 * `instead` is a command of a RUN that takes long and is tested elsewhere; its value does the same from what is there already. Without root nothing changes
 * its owner. `dir` is empty and gets the stages; others than root must be able to get in.
 */
export async function replay(context: string, dir: string, instead: Readonly<Record<string, (folder: string) => Promise<void>>>): Promise<Image> {
  const allowed = (await readFile(join(context, '.dockerignore'), 'utf8')).split('\n').filter((line) => line.startsWith('!')).map((line) => line.slice(1))
  const stages: Stage[] = []
  for (const { word, rest } of parse(await readFile(join(context, 'Dockerfile'), 'utf8'))) {
    if (word === 'FROM') {
      const root = join(dir, String(stages.length))
      await mkdir(root)
      stages.push({ name: / AS (\S+)$/i.exec(rest)?.[1] ?? null, root, workdir: '/', env: {}, user: null, ports: [], entrypoint: [], command: [], healthcheck: [] })
      continue
    }
    const stage = stages.at(-1)
    if (stage === undefined) throw new Error(`${word} before the first FROM`)
    const inside = (path: string) => join(stage.root, resolve(stage.workdir, path))
    if (word === 'WORKDIR') {
      stage.workdir = resolve(stage.workdir, rest)
      await mkdir(inside('.'), { recursive: true })
    } else if (word === 'COPY') await copy(rest, stages, inside, { context, allowed })
    else if (word === 'RUN') {
      for (const command of rest.split(' && ')) {
        const other = Object.entries(instead).find(([beginning]) => command.startsWith(beginning))?.[1]
        if (other !== undefined) await other(inside('.'))
        else if (process.getuid?.() === 0 || !command.startsWith('chown ')) await run('sh', ['-c', command], { cwd: inside('.'), env: { ...process.env, ...stage.env } })
      }
    } else if (word === 'ENV') for (const [, name = '', value = ''] of rest.matchAll(/(\w+)=(\S+)/g)) stage.env[name] = value
    else if (word === 'EXPOSE') stage.ports.push(Number(rest))
    else if (word === 'USER') stage.user = rest
    else if (word === 'ENTRYPOINT') stage.entrypoint = list(rest)
    else if (word === 'CMD') stage.command = list(rest)
    else if (word === 'HEALTHCHECK') stage.healthcheck = list(rest.replace(/^(?:--\S+ )*CMD /, ''))
    else throw new Error(`${word} is not known here`)
  }
  const last = stages.at(-1)
  if (last === undefined) throw new Error('no FROM')
  return last
}

function parse(text: string): readonly Instruction[] {
  const lines = text.replaceAll(/\\\n/g, ' ').split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return lines.map((line) => ({ word: line.slice(0, line.indexOf(' ')), rest: line.slice(line.indexOf(' ') + 1) }))
}

/** As Docker does it: a folder is copied as what it holds, a file into what ends with a slash. */
async function copy(rest: string, stages: readonly Stage[], inside: (path: string) => string, from: { readonly context: string; readonly allowed: readonly string[] }): Promise<void> {
  const words = rest.split(' ')
  const stageName = words[0]?.startsWith('--from=') === true ? words.shift()?.slice('--from='.length) : undefined
  const target = words.pop() ?? ''
  const source = stageName === undefined ? null : stages.find(({ name }) => name === stageName)
  if (source === undefined) throw new Error(`there is no stage ${stageName ?? ''}`)
  for (const name of words) {
    if (source === null && !from.allowed.includes(name)) throw new Error(`.dockerignore keeps ${name} out`)
    const into = target.endsWith('/') ? join(inside(target), basename(name)) : inside(target)
    await mkdir(dirname(into), { recursive: true })
    await run('cp', ['-a', '-T', source === null ? join(from.context, name) : join(source.root, name), into])
  }
}

/** The form without a shell: what is started is the first process itself. */
function list(rest: string): readonly string[] {
  return JSON.parse(rest) as readonly string[] // throws for the form with a shell, which is the point
}
