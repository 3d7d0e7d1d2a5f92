import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readSnapshot } from '../../src/buffers/embedded/reader.ts'
import { makeAuthority, writePemFiles } from '../../src/simulator/certificates.ts'
import { Child, cpuSeconds, memoryMb } from './children.ts'

export interface Measured {
  readonly events: number
  /** From the request of the window to the last byte read at the receiver. */
  readonly eventsPerSecond: number
  /** From the request to the last proof; null where nothing is proven. */
  readonly secondsToProof: number | null
  readonly cpuSecondsPerMillion: number
  readonly peakMb: number
}

const script = (name: string): URL => new URL(name, import.meta.url)
const CLI = new URL('../../dist/cli.js', import.meta.url)

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

  /** The built CLI with one service, its outputs probed and its first, empty window read. */
  async collector({
    period = 1,
    probed = true,
    awaitRequest = true,
  }: { period?: number; probed?: boolean; awaitRequest?: boolean } = {}): Promise<Child> {
    await mkdir(join(this.dir, 'config'), { recursive: true })
    await writeFile(join(this.dir, 'config', 'config.yaml'), this.#config(period))
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

  #config(period: number): string {
    return `globals: {name: bench, persistence: {type: filesystem, config: {directory_name: state}}, http: {enabled: false}}
outputs:
  devo_1: {type: devo_platform, config: {address: localhost, port: ${this.receiverPort}, type: SSL, chain: chain.crt, cert: me.crt, key: me.key, probe_in_milliseconds: 500}}
inputs:
  bench:
    type: proofpoint_tap
    id: 12345
    credentials: {username: user, password: secret-word}
    base_url: http://127.0.0.1:${this.apiPort}
    requests_limits: [{period: 1d, number_of_requests: -1}]
    services: {messagesDelivered: {request_period_in_seconds: ${period}}}
`
  }
}

/** One window of the given size through the running collector. */
export async function measureCollector(bench: Bench, bytes: number): Promise<Measured> {
  await rm(join(bench.dir, 'state'), { recursive: true, force: true })
  const collector = await bench.collector({ period: 1 })
  const pid = collector.process.pid ?? 0
  try {
    // two more passes: the probe of the output runs beside the first one
    await new Promise((resolve) => setTimeout(resolve, 3_000))
    const events = await bench.prepare(bytes)
    await bench.count(events)
    const cpuBefore = cpuSeconds(pid)
    bench.arm()
    const requestedAt = await bench.api.number('requested', 'at')
    const completeAt = await bench.receiver.number('complete', 'at')
    const provenAt = await bench.proven(completeAt)
    return {
      events,
      eventsPerSecond: events / ((completeAt - requestedAt) / 1_000),
      secondsToProof: (provenAt - requestedAt) / 1_000,
      cpuSecondsPerMillion: ((cpuSeconds(pid) - cpuBefore) / events) * 1e6,
      peakMb: memoryMb(pid).peak,
    }
  } finally {
    await collector.end()
  }
}

/** The same window through the naive loop. */
export async function measureNaive(bench: Bench, bytes: number): Promise<Measured> {
  const naive = new Child(script('naive.ts'), [String(bench.apiPort), String(bench.receiverPort), join(bench.dir, 'certs')])
  const pid = naive.process.pid ?? 0
  await naive.next('ready')
  const events = await bench.prepare(bytes)
  await bench.count(events)
  bench.arm()
  const cpuBefore = cpuSeconds(pid)
  const exited = new Promise((resolve) => naive.process.once('exit', resolve))
  naive.send({ type: 'go' })
  const requestedAt = await bench.api.number('requested', 'at')
  const completeAt = await bench.receiver.number('complete', 'at')
  const cpu = cpuSeconds(pid) - cpuBefore
  const { peak } = memoryMb(pid)
  await exited
  return {
    events,
    eventsPerSecond: events / ((completeAt - requestedAt) / 1_000),
    secondsToProof: null,
    cpuSecondsPerMillion: (cpu / events) * 1e6,
    peakMb: peak,
  }
}
