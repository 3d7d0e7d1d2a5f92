import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { CreateBucketCommand, GetObjectCommand, ListMultipartUploadsCommand, ListObjectsV2Command, PutBucketPolicyCommand, S3Client } from '@aws-sdk/client-s3'
import { describe } from 'vitest'
import type { S3Credentials } from '../../src/sinks/s3/config.ts'
import { freePort } from './kafka-probe.ts'

const INSTALL = fileURLToPath(new URL('../../scripts/install-versitygw.sh', import.meta.url))
export const ROOT: S3Credentials = { accessKeyId: 'ROOTROOTROOT', secretAccessKey: 'root-secret-root-secret', sessionToken: null }
/** A user who may do nothing until a bucket's policy says so. */
export const WRITER: S3Credentials = { accessKeyId: 'WRITERWRITER', secretAccessKey: 'writer-secret-writer-secret', sessionToken: null }
/** Ends the server when this process is gone, however it went. */
const WATCHED = '"$@" & cat >/dev/null; kill -9 $!'

/** Without the gateway a developer goes without, and the run says so; a build fails. */
export const describeS3 = describe.skipIf(process.env.CI === undefined && spawnSync('bash', [INSTALL, '--check'], { stdio: 'ignore' }).status !== 0)

export interface StoredObject {
  readonly key: string
  readonly size: number
}

/** A real S3 on loopback, without TLS: the Versity gateway over a folder. */
export interface S3Server {
  readonly url: string
  createBucket(bucket: string): Promise<void>
  /** `actions` below `prefix` for WRITER, and nothing else. */
  allow(bucket: string, prefix: string, actions: readonly string[]): Promise<void>
  objects(bucket: string): Promise<readonly StoredObject[]>
  /** As it is stored. */
  get(bucket: string, key: string): Promise<Buffer>
  /** The lines of all objects, decompressed where their name says so. */
  lines(bucket: string): Promise<readonly string[]>
  /** Keys of the uploads that are begun and not completed. */
  uploads(bucket: string): Promise<readonly string[]>
  dispose(): Promise<void>
}

export interface S3Options {
  /** Default: us-east-1. */
  readonly region?: string
  /** A bucket may then also stand before this name instead of in the path. */
  readonly domain?: string
}

/** Resolves when it serves. Throws what it said where it does not start. */
export async function startS3({ region = 'us-east-1', domain }: S3Options = {}): Promise<S3Server> {
  const program = execFileSync('bash', [INSTALL], { stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' }).trim()
  const home = await mkdtemp(join(tmpdir(), 'tap-s3-'))
  for (const folder of ['data', 'sidecar', 'iam']) await mkdir(join(home, folder))
  const user = { access: WRITER.accessKeyId, secret: WRITER.secretAccessKey, role: 'user', userID: 0, groupID: 0, projectID: 0 }
  await writeFile(join(home, 'iam', 'users.json'), JSON.stringify({ accessAccounts: { [user.access]: user } }), { mode: 0o600 })
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const server = spawn('sh', [
    '-c', WATCHED, 'sh', program, '--port', `127.0.0.1:${port}`, '--region', region, ...(domain === undefined ? [] : ['--virtual-domain', domain]),
    '--iam-dir', join(home, 'iam'), '--keep-alive', '--quiet', 'posix', '--sidecar', join(home, 'sidecar'), join(home, 'data'),
  ], { stdio: ['pipe', 'pipe', 'pipe'], env: { PATH: process.env.PATH, ROOT_ACCESS_KEY_ID: ROOT.accessKeyId, ROOT_SECRET_ACCESS_KEY: ROOT.secretAccessKey } })
  const client = new S3Client({
    endpoint: url, region, forcePathStyle: true, credentials: { accessKeyId: ROOT.accessKeyId, secretAccessKey: ROOT.secretAccessKey },
  })
  const get = async (Bucket: string, Key: string): Promise<Buffer> => {
    const { Body } = await client.send(new GetObjectCommand({ Bucket, Key }))
    return Buffer.from((await Body?.transformToByteArray()) ?? [])
  }
  const objects = async (Bucket: string): Promise<readonly StoredObject[]> => {
    const { Contents = [], IsTruncated } = await client.send(new ListObjectsV2Command({ Bucket }))
    if (IsTruncated === true) throw new Error('more objects than one answer lists')
    return Contents.map(({ Key = '', Size = 0 }) => ({ key: Key, size: Size }))
  }
  const dispose = async (): Promise<void> => {
    client.destroy()
    server.stdin.end()
    if (server.exitCode === null && server.signalCode === null) await once(server, 'close')
    await rm(home, { recursive: true })
  }
  try {
    await serving(server, url)
  } catch (error) {
    await dispose()
    throw error
  }
  return {
    url, get, objects, dispose,
    createBucket: async (Bucket) => {
      await client.send(new CreateBucketCommand({ Bucket }))
    },
    allow: async (Bucket, prefix, actions) => {
      const statement = { Effect: 'Allow', Principal: { AWS: [WRITER.accessKeyId] }, Action: actions, Resource: [`arn:aws:s3:::${Bucket}/${prefix}*`] }
      await client.send(new PutBucketPolicyCommand({ Bucket, Policy: JSON.stringify({ Version: '2012-10-17', Statement: [statement] }) }))
    },
    lines: async (bucket) => {
      const lines: string[] = []
      for (const { key } of await objects(bucket)) {
        const bytes = await get(bucket, key)
        lines.push(...(key.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString().split('\n').slice(0, -1))
      }
      return lines
    },
    uploads: async (Bucket) => ((await client.send(new ListMultipartUploadsCommand({ Bucket }))).Uploads ?? []).map(({ Key = '' }) => Key),
  }
}

async function serving(server: ChildProcess, url: string): Promise<void> {
  let output = ''
  let hasEnded = false
  for (const stream of [server.stdout, server.stderr]) stream?.setEncoding('utf8').on('data', (text: string) => (output = (output + text).slice(-20_000)))
  server.once('close', () => (hasEnded = true))
  const until = performance.now() + 30_000
  for (;;) {
    if (await fetch(url).then(async (response) => response.body?.cancel().then(() => true), () => false)) return
    // the event above has changed it
    if ((hasEnded as boolean) || performance.now() > until) throw new Error(`the S3 gateway did not start:\n${output}`)
    await sleep(20)
  }
}
