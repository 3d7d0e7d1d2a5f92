import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pino from 'pino'
import { systemClock } from '../../../src/pipeline/clock.ts'
import type { Sink } from '../../../src/pipeline/sink.ts'
import { makeAuthority, writePemFiles } from '../../../src/simulator/certificates.ts'
import type { S3Config } from '../../../src/sinks/s3/config.ts'
import { createS3Sink, type S3Settings } from '../../../src/sinks/s3/sink.ts'
import { ROOT, type S3Server, type StoredObject } from '../../support/s3.ts'
import { Gateway } from './gateway.ts'

/** Keys and a server take a while: one of each for a test file. */
const pki = (async () => {
  const authority = await makeAuthority({ commonName: 'Test CA' })
  return { authority, server: await authority.issue({ commonName: 's3' }) }
})()

export interface World {
  readonly bucket: string
  readonly gateway: Gateway
  readonly config: (over?: Partial<S3Config>) => S3Config
  /** Closed with the world. */
  readonly sink: (over?: Partial<S3Config>, settings?: Partial<S3Settings>) => Sink
  readonly objects: () => Promise<readonly StoredObject[]>
  readonly get: (key: string) => Promise<Buffer>
  readonly lines: () => Promise<readonly string[]>
  readonly uploads: () => Promise<readonly string[]>
  readonly close: () => Promise<void>
}


/** A bucket of its own, and a gateway in front of it. */
export async function makeWorld(server: S3Server): Promise<World> {
  const { authority, server: certificate } = await pki
  const folder = await mkdtemp(join(tmpdir(), 's3-sink-'))
  await writePemFiles(folder, { 'ca.crt': authority.certPem })
  const bucket = `events-${randomUUID()}`
  await server.createBucket(bucket)
  const gateway = new Gateway(server.url, certificate)
  await gateway.start()
  const sinks: Sink[] = []
  const world: World = {
    bucket, gateway,
    config: (over = {}) => ({
      bucket, prefix: 'tap/', region: 'us-east-1', endpoint: gateway.origin, credentials: ROOT, gzip: false,
      ca: join(folder, 'ca.crt'), cert: null, key: null, timeoutMs: 30_000, ...over,
    }),
    sink: (over, settings) => {
      const sink = createS3Sink(world.config(over), { name: 's3_1', clock: systemClock, log: pino({ level: 'silent' }), ...settings })
      sinks.push(sink)
      return sink
    },
    objects: async () => server.objects(bucket),
    get: async (key) => server.get(bucket, key),
    lines: async () => server.lines(bucket),
    uploads: async () => server.uploads(bucket),
    close: async () => {
      await Promise.all(sinks.map(async (sink) => sink.close()))
      await gateway.stop()
      await rm(folder, { recursive: true })
    },
  }
  return world
}
