import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { describeS3, ROOT, startS3, type S3Server } from '../support/s3.ts'
import { parseLine } from './arrivals.ts'
import { makeWorld, MINUTE_MS } from './world.ts'

const until = Date.now() - 2 * MINUTE_MS

describeS3('an output s3', () => {
  let server: S3Server
  beforeAll(async () => {
    server = await startS3()
  })
  afterAll(async () => server.dispose())

  test('the same JSON as Devo, each event once; validate --connect leaves nothing; what S3 refuses waits alone; no secret in the log', async () => {
    const bucket = `tap-${randomUUID()}`
    const world = await makeWorld({
      traffic: { until },
      configure: ({ outputs }) => {
        outputs.lake = {
          type: 's3',
          config: {
            bucket, prefix: 'proofpoint', endpoint: server.url, gzip: true,
            credentials: { access_key_id: ROOT.accessKeyId, secret_access_key: '${S3_SECRET}' },
          },
        }
      },
    })
    const env = { S3_SECRET: ROOT.secretAccessKey }
    // Devo gets everything meanwhile, and the other output goes on as soon as it can.
    const collector = world.start(['run'], { env })
    expect(await collector.logged(`there is no bucket ${bucket}`)).toMatchObject({ level: 'warn' })
    await world.allArrive(until)
    expect(await collector.stop()).toMatchObject({ code: 0 })

    await server.createBucket(bucket)
    expect(await world.run(['validate', '--connect'], { env })).toMatchObject({ code: 0 })
    expect([await server.objects(bucket), await server.uploads(bucket)]).toEqual([[], []])
    const { code, stdout, stderr } = await world.run(['run', '--once'], { env })
    expect(code).toBe(0)
    expect([...(await server.lines(bucket))].sort()).toEqual(world.lines.map((line) => parseLine(line).json).sort())
    expect(collector.stdout + collector.stderr + stdout + stderr).not.toContain(ROOT.secretAccessKey)
  })
})
