import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pino from 'pino'
import { systemClock } from '../../../src/pipeline/clock.ts'
import type { Sink } from '../../../src/pipeline/sink.ts'
import { makeAuthority, writePemFiles, type Authority, type Issued } from '../../../src/simulator/certificates.ts'
import type { HttpConfig, HttpFormat } from '../../../src/sinks/http/config.ts'
import { createHttpSink, type HttpSettings } from '../../../src/sinks/http/sink.ts'
import { Destination, type DestinationOptions } from './destination.ts'
import { API_KEY, ElasticApi } from './elastic-api.ts'
import { JsonApi, LOGIN } from './json-api.ts'
import { SplunkApi, TOKEN } from './splunk-api.ts'

/** Keys take a while to make: one set for each test file. */
const pki = (async () => {
  const authority = await makeAuthority({ commonName: 'Test CA' })
  const [server, client] = await Promise.all([authority.issue({ commonName: 'destination' }), authority.issue({ commonName: 'me', client: true })])
  return { authority, server, client }
})()

export interface World<A> {
  readonly api: A
  readonly destination: Destination
  readonly authority: Authority
  readonly client: Issued
  /** Holds ca.crt, me.crt and me.key. */
  readonly folder: string
  readonly config: (over?: Partial<HttpConfig>) => HttpConfig
  /** Closed with the world. */
  readonly sink: (over?: Partial<HttpConfig>, settings?: Partial<HttpSettings>) => Sink
  readonly close: () => Promise<void>
}

export type WorldOptions = Partial<Omit<DestinationOptions, 'certificate' | 'clientAuthority'>> & { readonly askForCertificate?: boolean }

export async function jsonWorld(form: 'ndjson' | 'json_array', options?: WorldOptions): Promise<World<JsonApi>> {
  return makeWorld(new JsonApi(form), { format: form, path: '/events', authorization: LOGIN }, options)
}

export async function splunkWorld(acknowledges: boolean, options?: WorldOptions): Promise<World<SplunkApi>> {
  return makeWorld(new SplunkApi(acknowledges), { format: 'splunk_hec', path: '/', authorization: `Splunk ${TOKEN}`, acknowledges }, options)
}

export async function elasticWorld(options?: WorldOptions): Promise<World<ElasticApi>> {
  return makeWorld(new ElasticApi(), { format: 'elastic_bulk', path: '/', authorization: `ApiKey ${API_KEY}` }, options)
}

interface Kind {
  readonly format: HttpFormat
  readonly path: string
  readonly authorization: string
  readonly acknowledges?: boolean
}

async function makeWorld<A extends JsonApi | SplunkApi | ElasticApi>(api: A, kind: Kind, options: WorldOptions = {}): Promise<World<A>> {
  const { authority, server, client } = await pki
  const folder = await mkdtemp(join(tmpdir(), 'http-sink-'))
  await writePemFiles(folder, { 'ca.crt': authority.certPem, 'me.crt': client.certPem, 'me.key': client.keyPem })
  const { askForCertificate = false, ...rest } = options
  const destination = new Destination(api.answer, { certificate: server, ...rest, ...(askForCertificate && { clientAuthority: authority.certPem }) })
  await destination.start()
  const sinks: Sink[] = []
  const world: World<A> = {
    api, destination, authority, client, folder,
    config: (over = {}) => ({
      url: `${destination.origin}${kind.path}`,
      format: kind.format,
      headers: {},
      authorization: kind.authorization,
      ca: join(folder, 'ca.crt'),
      cert: null,
      key: null,
      gzip: false,
      maxRequestBytes: 1_000_000,
      timeoutMs: 30_000,
      index: null,
      splunk: {
        host: null, source: '{input}/{service}', sourcetype: 'proofpoint:tap:{service}', fields: {},
        acknowledgeTimeoutMs: kind.acknowledges === true ? 30_000 : null,
      },
      ...over,
    }),
    sink: (over, settings) => {
      const sink = createHttpSink(world.config(over), { name: 'http_1', clock: systemClock, log: pino({ level: 'silent' }), hostName: 'collector-1', ...settings })
      sinks.push(sink)
      return sink
    },
    close: async () => {
      await Promise.all(sinks.map(async (sink) => sink.close()))
      await destination.stop()
      await rm(folder, { recursive: true })
    },
  }
  return world
}
