import { execFile, spawnSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, onTestFinished, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { EXIT } from '../../src/commands/exit.ts'
import { textOf } from '../compose/compose.ts'
import { outcomeOfText } from '../config/setup.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const docker = textOf('Dockerfile')
/** The product leaves within this time after a SIGTERM. */
const LONGEST_STOP_S = 10

describe('the systemd unit', () => {
  const text = textOf('deploy/systemd/tap-collector.service')
  const valuesOf = (key: string) => [...text.matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map(([, value]) => value)

  test('starts the executable itself with the Node of the checkout, and lets it write to the state folder alone', () => {
    const [folder = ''] = valuesOf('WorkingDirectory')
    const { bin, devDependencies } = JSON.parse(textOf('package.json')) as { bin: Record<string, string>; devDependencies: Record<string, string> } // npm's own form
    expect(valuesOf('ExecStart')).toEqual([`${folder}/node_modules/.bin/node ${bin['tap-collector'] ?? ''} run`])
    expect(devDependencies).toHaveProperty('node')
    expect(valuesOf('ProtectSystem')).toEqual(['strict'])
    expect(valuesOf('ReadWritePaths')).toEqual([`${folder}/state`])
    expect(Number(valuesOf('TimeoutStopSec')[0])).toBeGreaterThan(LONGEST_STOP_S)
    expect(valuesOf('RestartPreventExitStatus')).toEqual([String(EXIT.usage)])
  })

  test.runIf(spawnSync('systemd-analyze', ['--version']).error === undefined)('is taken by systemd, which finds little that it could reach', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'tap-unit-'))
    onTestFinished(async () => rm(dir, { recursive: true, force: true }))
    const unit = join(dir, 'tap-collector.service')
    // Where this checkout is, and a user of this machine: systemd looks whether they exist.
    await writeFile(unit, text.replaceAll('/opt/devo-proofpoint-tap-collector', ROOT.replace(/\/$/, '')).replace('User=tap-collector', `User=${userInfo().username}`))
    const run = promisify(execFile)
    expect(await run('systemd-analyze', ['verify', '--man=no', unit])).toEqual({ stdout: '', stderr: '' })
    const { stdout } = await run('systemd-analyze', ['security', '--offline=true', join(ROOT, 'deploy/systemd/tap-collector.service')])
    expect(Number(/exposure level for \S+: ([\d.]+)/.exec(stdout)?.[1])).toBeLessThan(2)
  })
})

interface Pod {
  readonly terminationGracePeriodSeconds: number
  readonly securityContext: Readonly<Record<string, unknown>>
  readonly containers: readonly {
    readonly args: readonly string[]
    readonly envFrom: readonly { readonly secretRef: { readonly name: string } }[]
    readonly ports: readonly { readonly name: string; readonly containerPort: number }[]
    readonly securityContext: unknown
    readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string; readonly readOnly?: boolean }[]
    readonly livenessProbe: Probe
    readonly startupProbe: Probe
    readonly readinessProbe: Probe
  }[]
  readonly volumes: readonly { readonly name: string; readonly secret?: { readonly secretName: string }; readonly configMap?: { readonly name: string } }[]
}

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string }
}

interface Labels {
  readonly labels: Readonly<Record<string, string>>
}

/** As the tests look at it. */
interface Manifest {
  readonly kind: string
  readonly metadata: Labels & { readonly name: string }
  readonly data?: Readonly<Record<string, string>>
  readonly spec?: {
    readonly replicas: number
    readonly serviceName?: string
    readonly selector: { readonly matchLabels?: unknown }
    readonly template: { readonly metadata: Labels; readonly spec: Pod }
    readonly volumeClaimTemplates?: readonly { readonly metadata: { readonly name: string }; readonly spec: { readonly resources: { readonly requests: { readonly storage: string } } } }[]
  }
}

describe.each([['embedded', 'StatefulSet'], ['kafka', 'Deployment']])('the manifests for Kubernetes, %s', (name, kind) => {
  const text = textOf(`deploy/kubernetes/${name}.yaml`)
  const documents = parseAllDocuments(text, { strict: true, version: '1.2' })
  const manifests = documents.map((document) => document.toJS() as Manifest) // the interfaces above say what the tests read of it
  const [config, workload, service] = manifests
  const { template, selector, volumeClaimTemplates = [], replicas = 0, serviceName } = workload?.spec ?? {}
  const pod = template?.spec
  const [container] = pod?.containers ?? []
  if (pod === undefined || container === undefined) throw new Error('there is no container')

  test('hold together by their names', () => {
    expect(documents.flatMap(({ errors, warnings }) => [...errors, ...warnings])).toEqual([])
    expect(manifests.map((one) => one.kind)).toEqual(['ConfigMap', kind, ...(service === undefined ? [] : ['Service'])])
    expect(selector?.matchLabels).toEqual(template?.metadata.labels)
    // A StatefulSet wants one; nobody has to reach a collector.
    expect(service?.metadata.name).toBe(serviceName)
    if (service !== undefined) expect(service.spec?.selector).toEqual(template?.metadata.labels)
    const volumes = [...pod.volumes.map((volume) => volume.name), ...volumeClaimTemplates.map(({ metadata }) => metadata.name)]
    expect(container.volumeMounts.map((mount) => mount.name).toSorted()).toEqual(volumes.toSorted())
    expect(pod.volumes.find(({ configMap }) => configMap !== undefined)?.configMap).toEqual({ name: config?.metadata.name })
    // The secrets are made by the commands above them.
    const secrets = [...container.envFrom.map(({ secretRef }) => secretRef.name), ...pod.volumes.flatMap(({ secret }) => secret?.secretName ?? [])]
    expect([...text.matchAll(/create secret generic (\S+)/g)].map(([, secret]) => secret)).toEqual(secrets)
  })

  test('have a configuration that is good once its placeholders are replaced, by variables that the secret has', async () => {
    const yaml = config?.data?.['config.yaml'] ?? ''
    const env: Record<string, string> = Object.fromEntries([...text.matchAll(/--from-literal=(\w+)=/g)].map(([, variable = '']) => [variable, 'a-value']))
    const { loaded, problems } = await outcomeOfText(yaml.replaceAll(/<([^<>]+)>/g, '$1'), { env })
    expect(problems).toEqual([])
    expect(loaded?.warnings).toEqual([])
    expect(loaded?.config.buffer.type).toBe(name)
    expect(replicas > 1).toBe(name === 'kafka')
    if (loaded?.config.buffer.type !== 'embedded') return
    const { storage } = volumeClaimTemplates[0]?.spec.resources.requests ?? { storage: '' }
    expect(loaded.config.buffer.maxSizeBytes).toBeLessThan(Number(/^(\d+)Gi$/.exec(storage)?.[1]) * 1024 ** 3)
  })

  test('are for the image as it is: its folders, its user, a root file system that is read-only', () => {
    expect(container.args).toEqual(['run'])
    const folders = /^RUN mkdir (.*?) &&/m.exec(docker)?.[1]?.split(' ').map((folder) => `/devo-collector/${folder}`)
    for (const { mountPath, readOnly } of container.volumeMounts) {
      if (mountPath === '/tmp') continue
      expect(folders).toContain(mountPath)
      expect(readOnly === true).toBe(mountPath !== '/devo-collector/state')
    }
    const [, uid, gid] = /chown (\d+):(\d+) state/.exec(docker) ?? []
    expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: Number(uid), runAsGroup: Number(gid), fsGroup: Number(gid) })
    expect(container.securityContext).toEqual({ allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } })
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(LONGEST_STOP_S)
  })

  test('probe a port that the product has; that it answers there is seen with the image', async () => {
    expect(container.ports).toEqual([{ name: 'http', containerPort: Number(/^EXPOSE (\d+)$/m.exec(docker)?.[1]) }])
    const { loaded } = await outcomeOfText((config?.data?.['config.yaml'] ?? '').replaceAll(/<([^<>]+)>/g, '$1').replaceAll(/\$\{\w+\}/g, 'v'))
    expect(loaded?.config.http).toMatchObject({ enabled: true, port: container.ports[0]?.containerPort })
    for (const { httpGet } of [container.livenessProbe, container.startupProbe, container.readinessProbe]) expect(httpGet.port).toBe('http')
    expect(container.livenessProbe.httpGet.path).toBe('/healthz')
    expect(container.readinessProbe.httpGet.path).toBe('/readyz')
  })
})
