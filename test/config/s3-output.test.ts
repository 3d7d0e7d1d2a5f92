import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import type { S3Config } from '../../src/sinks/s3/config.ts'
import { MINIMAL, outcomeOfText } from './setup.ts'

async function s3(config: string): Promise<{ readonly config: S3Config; readonly warnings: readonly string[] }> {
  const yaml = MINIMAL.replace('{console_1: {type: console}}', `{s3_1: {type: s3, config: {${config}}}}`)
  const { loaded, problems } = await outcomeOfText(yaml, { env: { S3_SECRET: 'hunter2' } })
  expect(problems).toEqual([])
  const output = loaded?.config.outputs[0]
  if (output?.type !== 's3') throw new Error('no output of type s3')
  return { config: output.config, warnings: (loaded?.warnings ?? []).map(({ path }) => path) }
}

test('an s3 output needs a bucket and its region', async () => {
  expect((await s3('bucket: events, region: eu-central-1')).config).toEqual({
    bucket: 'events', prefix: '', region: 'eu-central-1', endpoint: null, credentials: null, gzip: false, ca: null, cert: null, key: null, timeoutMs: 120_000,
  })
})

test('an s3 output takes every key, and shows no secret', async () => {
  const { config, warnings } = await s3(
    'bucket: events, prefix: a/b, endpoint: "https://minio.example.com:9000", gzip: true, timeout_in_seconds: 5, tls: {ca: ca.crt}, ' +
    'credentials: {access_key_id: AKIA1, secret_access_key: "${S3_SECRET}", session_token: hunter2}',
  )
  expect(warnings).toEqual([])
  expect(config).toMatchObject({
    prefix: 'a/b/', region: 'us-east-1', endpoint: 'https://minio.example.com:9000', gzip: true, timeoutMs: 5_000,
    credentials: { accessKeyId: 'AKIA1', secretAccessKey: 'hunter2', sessionToken: 'hunter2' },
  })
  expect(config.ca).toMatch(/certs[/\\]ca\.crt$/)
  expect(inspect(config, { depth: null }) + JSON.stringify(config)).not.toMatch(/hunter2|AKIA1/)
})

test('without https a warning says what may be read, but not for this machine', async () => {
  expect((await s3('bucket: events, endpoint: "http://minio.example.com:9000"')).warnings).toEqual(['outputs.s3_1.config.endpoint'])
  expect((await s3('bucket: events, endpoint: "http://127.0.0.1:9000"')).warnings).toEqual([])
})
