import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, onTestFinished } from 'vitest'
import { stringify } from 'yaml'
import { freePort } from './kafka-probe.ts'

const INSTALL = fileURLToPath(new URL('../../scripts/install-prometheus.sh', import.meta.url))
export const ALERTS = fileURLToPath(new URL('../../deploy/prometheus/alerts.yml', import.meta.url))

/** Without Prometheus a developer goes without, and the run says so; a build fails. */
export const describePrometheus = describe.skipIf(process.env.CI === undefined && spawnSync('bash', [INSTALL, '--check'], { stdio: 'ignore' }).status !== 0)

function program(name: 'prometheus' | 'promtool'): string {
  return join(execFileSync('bash', [INSTALL], { stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' }).trim(), name)
}

/** What promtool says, and whether it is content. */
export function promtool(args: readonly string[]): { readonly isGood: boolean; readonly said: string } {
  const { status, stdout, stderr } = spawnSync(program('promtool'), [...args], { encoding: 'utf8' })
  return { isGood: status === 0, said: stdout + stderr }
}

export interface Prometheus {
  /** The values of an instant query, by their labels. Throws what Prometheus says of a query that is none. */
  query(expression: string): Promise<readonly { readonly labels: Readonly<Record<string, string>>; readonly value: number }[]>
  /** The rules it has loaded and evaluated, each with its health: `ok` once that went well. */
  rules(): Promise<readonly { readonly name: string; readonly health: string }[]>
}

/** A real one that scrapes the collector every second with its token, and has the alerts as rules. It ends with the running test. */
export async function startPrometheus(target: number, token: string): Promise<Prometheus> {
  const home = await mkdtemp(join(tmpdir(), 'tap-prometheus-'))
  onTestFinished(() => rm(home, { recursive: true, force: true }))
  const port = await freePort()
  const config = {
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: [ALERTS],
    scrape_configs: [{ job_name: 'tap', authorization: { credentials: token }, static_configs: [{ targets: [`127.0.0.1:${target}`] }] }],
  }
  await writeFile(join(home, 'prometheus.yml'), stringify(config))
  const server = spawn(
    program('prometheus'),
    [`--config.file=${join(home, 'prometheus.yml')}`, `--storage.tsdb.path=${join(home, 'data')}`, `--web.listen-address=127.0.0.1:${port}`, '--log.level=warn'],
    { cwd: home, stdio: ['ignore', 'ignore', 'pipe'] },
  )
  const ended = once(server, 'exit')
  onTestFinished(async () => {
    server.kill('SIGKILL')
    await ended
  })
  let said = ''
  server.stderr.setEncoding('utf8').on('data', (text: string) => (said += text))
  const ask = async (path: string): Promise<unknown> => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`)
    const body: unknown = await response.json()
    if (response.status !== 200) throw new Error(JSON.stringify(body))
    return body
  }
  for (;;) {
    if (server.exitCode !== null) throw new Error(`Prometheus ended: ${said}`)
    const isReady = await fetch(`http://127.0.0.1:${port}/-/ready`).then(({ ok }) => ok, () => false)
    if (isReady) break
  }
  return {
    async query(expression) {
      const { data } = (await ask(`/api/v1/query?${new URLSearchParams({ query: expression }).toString()}`)) as QueryAnswer // Prometheus's own API
      return data.result.map(({ metric, value }) => ({ labels: metric, value: Number(value[1]) }))
    },
    async rules() {
      const { data } = (await ask('/api/v1/rules')) as RulesAnswer // Prometheus's own API
      return data.groups.flatMap(({ rules }) => rules)
    },
  }
}

interface QueryAnswer {
  readonly data: { readonly result: readonly { readonly metric: Record<string, string>; readonly value: readonly [number, string] }[] }
}

interface RulesAnswer {
  readonly data: { readonly groups: readonly { readonly rules: readonly { readonly name: string; readonly health: string }[] }[] }
}
