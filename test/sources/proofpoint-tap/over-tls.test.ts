import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterEach, expect, it } from 'vitest'
import { systemClock } from '../../../src/pipeline/clock.ts'
import { collect } from '../../../src/pipeline/collect.ts'
import { Conditions } from '../../../src/pipeline/conditions.ts'
import { Counters } from '../../../src/pipeline/counters.ts'
import { makeAuthority } from '../../../src/simulator/certificates.ts'
import { TapModel } from '../../../src/simulator/tap-model.ts'
import { TapServer } from '../../../src/simulator/tap-server.ts'
import { createTapSources } from '../../../src/sources/proofpoint-tap/source.ts'
import { MemoryBuffer } from '../../support/memory-buffer.ts'
import { HOUR, inputConfig, MINUTE, serviceConfig } from '../../support/tap-simulation.ts'

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

it('collects over real TLS, all services of an input at once', async () => {
  const authority = await makeAuthority({ commonName: 'tests' })
  const folder = await mkdtemp(join(tmpdir(), 'tap-source-'))
  cleanups.push(() => rm(folder, { recursive: true }))
  const ca = join(folder, 'ca.crt')
  await writeFile(ca, authority.certPem)
  const model = new TapModel({ now: () => Date.now() })
  const server = await new TapServer({ model, certificate: await authority.issue({ commonName: 'tap' }) }).start()
  cleanups.push(() => server.stop())

  const names = ['clicksBlocked', 'clicksPermitted', 'messagesBlocked', 'messagesDelivered'] as const
  const begin = Date.now() - 3 * HOUR
  for (const service of names) {
    for (let minute = 1; minute < 170; minute += 1) model.events.add({ service, createdAt: begin + minute * MINUTE, content: { service, minute } })
  }
  const input = inputConfig({ baseUrl: server.baseUrl, ca, services: names.map((name) => serviceConfig(name, { startTime: begin })) })
  const clock = systemClock
  const log = pino({ level: 'silent' })
  const conditions = new Conditions(() => clock.now())
  const buffer = new MemoryBuffer()
  const sources = await createTapSources([input], { clock, log, quotaLog: buffer, conditions, counters: new Counters() })
  const signal = new AbortController().signal
  await Promise.all(sources.flatMap((source) => source.services.map((service) => collect({ source, service, buffer, clock, log, conditions, counters: new Counters(), signal, once: true }))))
  for (const source of sources) await source.close()

  expect(buffer.events.size).toBe(4 * 169)
  expect([...buffer.events.values()].every((times) => times === 1)).toBe(true)
  expect(conditions.list()).toEqual([])
})
