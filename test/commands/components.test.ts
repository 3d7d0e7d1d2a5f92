import { expect, test } from 'vitest'
import { createOutput, tagger } from '../../src/commands/components.ts'
import type { OutputConfig } from '../../src/config/types.ts'
import { systemClock } from '../../src/pipeline/clock.ts'
import { inputConfig, serviceConfig } from '../support/tap-simulation.ts'
import { batchOf } from '../contract/batches.ts'
import { silent } from '../pipeline/support.ts'
import { collectorConfig } from './support.ts'

const config = collectorConfig({
  inputs: [
    inputConfig({ name: 'one', id: 'id-of-one', services: [serviceConfig('clicksBlocked', { overrideTag: 'my.own.app.tag' })] }),
    inputConfig({ name: 'two', id: 'id-of-two', services: [serviceConfig('clicksBlocked')] }),
    inputConfig({ name: 'three', id: 'id-of-three', services: [serviceConfig('issues', { overrideTag: 'my.own.app.issues' })] }),
  ],
})

async function passes(services: readonly string[], inputId: string, service: string): Promise<boolean> {
  const output: OutputConfig = {
    name: 'screen',
    type: 'console',
    config: { format: 'line' },
    services,
    transforms: [],
    shipmentsInFlight: 1,
    maxShipmentEvents: 1,
    maxShipmentBytes: 1,
    startFrom: 'now',
  }
  const { transforms } = await createOutput(output, config, { clock: systemClock, log: silent })
  return transforms.every((transform) => transform({ ...batchOf(['{}']), inputId, service }, () => undefined) !== null)
}

test('a subset by the name of a service holds for every input, also for one that is no longer configured', async () => {
  expect(await passes(['clicksBlocked'], 'id-of-one', 'clicksBlocked')).toBe(true)
  expect(await passes(['clicksBlocked'], 'id-of-a-former-one', 'clicksBlocked')).toBe(true)
  expect(await passes(['clicksBlocked'], 'id-of-one', 'messagesBlocked')).toBe(false)
})

test('a subset by input and service holds for that one', async () => {
  expect(await passes(['one/clicksBlocked'], 'id-of-one', 'clicksBlocked')).toBe(true)
  expect(await passes(['one/clicksBlocked'], 'id-of-two', 'clicksBlocked')).toBe(false)
  expect(await passes(['one/clicksBlocked'], 'id-of-a-former-one', 'clicksBlocked')).toBe(false)
})

test('a subset by a service that has events of two kinds means both', async () => {
  expect(await passes(['issues'], 'id-of-three', 'clicksPermitted')).toBe(true)
  expect(await passes(['three/issues'], 'id-of-three', 'messagesDelivered')).toBe(true)
  expect(await passes(['three/issues'], 'id-of-one', 'messagesDelivered')).toBe(false)
  expect(await passes(['issues'], 'id-of-three', 'clicksBlocked')).toBe(false)
})

test('the tag is the one of the service, or of its table where nobody configures it any more', () => {
  const tagOf = tagger(config)
  expect(tagOf('id-of-one', 'clicksBlocked')).toBe('my.own.app.tag')
  expect(tagOf('id-of-three', 'messagesDelivered')).toBe('my.own.app.issues')
  expect(tagOf('id-of-a-former-one', 'messagesBlocked')).toBe('mail.proofpoint.tapsiem_v2.messagesblocked')
})
