import { existsSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { compose, propertiesOf, service, textOf } from './compose.ts'

const FILES = ['docker-compose.yml', 'docker-compose.embedded.yml']

describe.each(FILES)('%s', (name) => {
  const text = textOf(name)
  const header = text.slice(0, text.indexOf('\nname:'))
  const services = Object.entries(compose(name).services)

  test('has the folders of the old collector, and names no other of this machine', () => {
    const { volumes } = service(name, 'collector')
    const folders = volumes.map((volume) => (typeof volume === 'string' ? volume : `${volume.source} ${volume.target}`))
    expect(folders).toEqual(['config', 'certs', 'state'].map((folder) => `./${folder} /devo-collector/${folder}`))
    // config/ is in the checkout, and how the others come into being is said above.
    expect(existsSync(new URL('../../config', import.meta.url))).toBe(true)
    expect(header).toContain('mkdir -p certs state ')
    for (const [other, { volumes: theirs }] of services) {
      if (other === 'collector') continue
      for (const volume of theirs) {
        if (typeof volume !== 'string') throw new Error(`${other} has a folder of this machine`)
        expect(compose(name).volumes).toHaveProperty(volume.split(':')[0] ?? '')
      }
    }
  })

  test('says of every variable what it is for, and has a default or hands it on', () => {
    const references = [...text.slice(header.length).matchAll(/\$\{([^}]*)\}/g)].map(([, inside]) => inside ?? '')
    for (const reference of references) expect(reference).toMatch(/^[A-Z_]+:-./)
    const handedOn = services.flatMap(([, { environment }]) => Object.keys(environment).filter((key) => environment[key] === null))
    const variables = [...references.map((reference) => reference.split(':-')[0] ?? ''), ...handedOn]
    expect(variables).toContain('TAP_SECRET')
    for (const variable of variables) expect(header).toMatch(new RegExp(`^# {3}(?:[A-Z_]+, )*${variable}[, ]`, 'm'))
    // The default in the header is the default below.
    for (const reference of references) {
      const [variable = '', fallback = ''] = reference.split(':-')
      expect(header.split('\n').find((line) => line.includes(` ${variable} `))).toContain(`(${fallback})`)
    }
  })

  test('looks after the health of every service and starts it again, waits for what it needs, and opens no port to the network', () => {
    for (const [, { healthcheck, restart, depends_on: needed = {}, ports = [] }] of services) {
      expect(healthcheck.test[0]).toMatch(/^CMD/)
      expect(restart).toBe('unless-stopped')
      for (const { condition } of Object.values(needed)) expect(condition).toBe('service_healthy')
      for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:/)
    }
  })
})

test('the collector is the same in both', () => {
  const { depends_on: needed, ...collector } = service('docker-compose.yml', 'collector')
  expect(Object.keys(needed ?? {})).toEqual(['kafka'])
  expect(collector).toEqual(service('docker-compose.embedded.yml', 'collector'))
})

test('the image is built of a Dockerfile that copies only what .dockerignore lets through', () => {
  const docker = textOf('Dockerfile')
  expect(service('docker-compose.yml', 'collector').build).toBe('.')
  const allowed = [...textOf('.dockerignore').matchAll(/^!(.*)$/gm)].map(([, name = '']) => name)
  const copied = [...docker.matchAll(/^COPY (?!--from)(.*)$/gm)].flatMap(([, names = '']) => names.split(' ').slice(0, -1))
  expect(copied.toSorted()).toEqual(allowed.toSorted())
  for (const name of copied) expect(existsSync(new URL(`../../${name}`, import.meta.url)), name).toBe(true)
  expect(docker).toMatch(/^WORKDIR \/devo-collector$/m)
})

test('the broker keeps its data in a volume, and everything that Kafka would keep three times once', () => {
  const kafka = service('docker-compose.yml', 'kafka')
  const properties = propertiesOf(kafka)
  expect(kafka.volumes).toEqual([`kafka-data:${properties['log.dirs'] ?? ''}`])
  expect(properties).toMatchObject({
    'default.replication.factor': '1',
    'offsets.topic.replication.factor': '1',
    'transaction.state.log.replication.factor': '1',
    'transaction.state.log.min.isr': '1',
    'share.coordinator.state.topic.replication.factor': '1',
    'share.coordinator.state.topic.min.isr': '1',
    'advertised.listeners': 'CLIENT://kafka:9092',
  })
  expect(kafka.ports).toBeUndefined()
})
