import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readSnapshot } from '../../src/buffers/embedded/reader.ts'
import { makeAuthority, writePemFiles } from '../../src/simulator/certificates.ts'
import { Child } from './children.ts'

export interface CollectorSetup {
  /** Seconds between two passes. */
  readonly period?: number
  /** The `buffer` of the configuration, in YAML; the embedded one by default. */
  readonly buffer?: string
  readonly output?: string
  /** Keys of the output beside its name, and of its `config`, in YAML. */
  readonly outputKeys?: string
  readonly outputConfig?: string
  /** Wait until the embedded buffer knows the output. */
  readonly probed?: boolean
  readonly awaitRequest?: boolean
}

export const script = (name: string): URL => new URL(name, import.meta.url)
export const INPUT_ID = '12345'
export const SERVICE = 'messagesDelivered'
export const CLI = new URL('../../dist/cli.js', import.meta.url)

/** The two remote sides as processes of their own, and a folder for the collector. */
export class Bench {
  readonly dir: string
  readonly api: Child
  readonly apiPort: number
  receiver: Child
  receiverPort: number

  private constructor(dir: string, api: Child, apiPort: number, receiver: Child, receiverPort: number) {
    this.dir = dir
    this.api = api
    this.apiPort = apiPort
    this.receiver = receiver
    this.receiverPort = receiverPort
  }

  static async start(): Promise<Bench> {
    const dir = await mkdtemp(join(tmpdir(), 'tap-bench-'))
    const authority = await makeAuthority({ commonName: 'bench authority' })
    const server = await authority.issue({ commonName: 'localhost' })
    const client = await authority.issue({ commonName: 'collector', client: true })
    await writePemFiles(join(dir, 'certs'), {
      'chain.crt': authority.certPem,
      'server.crt': server.certPem,
      'server.key': server.keyPem,
      'me.crt': client.certPem,
      'me.key': client.keyPem,
    })
    const api = new Child(script('api.ts'), [])
    const receiver = new Child(script('receiver.ts'), [join(dir, 'certs')])
    return new Bench(dir, api, await api.number('listening', 'port'), receiver, await receiver.number('listening', 'port'))
  }

  async stopReceiver(): Promise<void> {
    await this.receiver.end()
  }

  async restartReceiver(): Promise<void> {
    this.receiver = new Child(script('receiver.ts'), [join(this.dir, 'certs'), String(this.receiverPort)])
    await this.receiver.next('listening')
  }

  /** The built CLI with one service, its first, empty window read. */
  async collector(setup: CollectorSetup = {}): Promise<Child> {
    const { probed = true, awaitRequest = true } = setup
    await mkdir(join(this.dir, 'config'), { recursive: true })
    await writeFile(join(this.dir, 'config', 'config.yaml'), this.#config(setup))
    this.api.forget('request')
    const collector = new Child(CLI, ['run', '--config', join(this.dir, 'config', 'config.yaml')], { silent: true })
    if (awaitRequest) await this.api.next('request')
    while (probed && (await readSnapshot(join(this.dir, 'state'))).outputs.length === 0)
      await new Promise((resolve) => setTimeout(resolve, 20))
    return collector
  }

  /** Makes a window of about so many bytes; gives the number of its events. It is served once armed, to whoever asks next. */
  async prepare(bytes: number): Promise<number> {
    this.api.send({ type: 'prepare', bytes })
    return this.api.number('prepared', 'events')
  }

  arm(): void {
    this.api.send({ type: 'arm' })
  }

  /** Counts lines anew; the receiver says when it has read so many. */
  async count(wanted: number): Promise<void> {
    for (const type of ['began', 'ended', 'complete']) this.receiver.forget(type)
    this.receiver.send({ type: 'count', wanted })
    await this.receiver.next('counting')
  }

  /** When the last shipment was proven, epoch milliseconds. */
  async proven(after: number): Promise<number> {
    for (;;) {
      const [output] = (await readSnapshot(join(this.dir, 'state'))).outputs
      if (output?.backlogEvents === 0 && output.provenAt >= after) return output.provenAt
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.api.end(), this.receiver.end()])
    await rm(this.dir, { recursive: true, force: true })
  }

  #config({ period = 1, buffer, output = 'devo_1', outputKeys, outputConfig = 'probe_in_milliseconds: 500' }: CollectorSetup): string {
    const config = `address: localhost, port: ${this.receiverPort}, type: SSL, chain: chain.crt, cert: me.crt, key: me.key, ${outputConfig}`
    return `globals: {name: bench, persistence: {type: filesystem, config: {directory_name: state}}, http: {enabled: false}}
outputs:
  ${output}: {type: devo_platform, ${outputKeys === undefined ? '' : `${outputKeys}, `}config: {${config}}}
${buffer === undefined ? '' : `buffer: ${buffer}\n`}inputs:
  bench:
    type: proofpoint_tap
    id: ${INPUT_ID}
    credentials: {username: user, password: secret-word}
    base_url: http://127.0.0.1:${this.apiPort}
    requests_limits: [{period: 1d, number_of_requests: -1}]
    services: {${SERVICE}: {request_period_in_seconds: ${period}}}
`
  }
}
