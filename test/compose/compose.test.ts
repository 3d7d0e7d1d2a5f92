import { readFileSync } from 'node:fs'
import { expect, onTestFinished, test } from 'vitest'
import { parse } from 'yaml'
import { hasBroker, startBroker } from '../support/kafka-broker.ts'

interface Service {
  readonly environment: Readonly<Record<string, string | number>>
  readonly volumes: readonly string[]
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>
  readonly healthcheck: { readonly test: readonly string[] }
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>
  readonly volumes?: Readonly<Record<string, unknown>>
}

function compose(name: string): { readonly text: string; readonly file: Compose } {
  const text = readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8')
  return { text, file: parse(text) as Compose } // as the tests below look at it
}

test.each(['docker-compose.yml', 'docker-compose.embedded.yml'])('%s has the folders of the image, a health check, and a default for every variable', (name) => {
  const { text, file } = compose(name)
  expect(file.services.collector?.volumes).toEqual(['./config:/devo-collector/config:ro', './certs:/devo-collector/certs:ro', './state:/devo-collector/state'])
  for (const service of Object.values(file.services)) {
    expect(service.healthcheck.test[0]).toBe('CMD')
    for (const volume of service.volumes) {
      const [from = ''] = volume.split(':')
      expect(from.startsWith('./') || from in (file.volumes ?? {})).toBe(true)
    }
    for (const needed of Object.values(service.depends_on ?? {})) expect(needed.condition).toBe('service_healthy')
  }
  for (const [variable] of text.matchAll(/\$\{[^}]*\}/g)) expect(variable).toMatch(/^\$\{[A-Z_]+:-[^}]+\}$/)
})

test.skipIf(!hasBroker() && process.env.CI === undefined)('the settings of the broker start a real one', async () => {
  const { environment, volumes } = compose('docker-compose.yml').file.services.kafka ?? { environment: {}, volumes: [] }
  // As the image does: KAFKA_LOG_DIRS is log.dirs.
  const properties = Object.fromEntries(
    Object.entries(environment).map(([name, value]) => [name.replace(/^KAFKA_/, '').toLowerCase().replaceAll('_', '.'), String(value)]),
  )
  expect(volumes.some((volume) => volume.endsWith(`:${properties['log.dirs'] ?? ''}`))).toBe(true)
  // What names hosts and folders of the container is the test's own here.
  const here = ['listeners', 'advertised.listeners', 'controller.quorum.voters', 'log.dirs', 'listener.security.protocol.map', 'controller.listener.names']
  const broker = await startBroker({ properties: Object.fromEntries(Object.entries(properties).filter(([name]) => !here.includes(name))) })
  onTestFinished(() => broker.dispose())
  expect(broker.brokers).toHaveLength(1)
})
