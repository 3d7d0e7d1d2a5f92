import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { secretsOfOutputs } from '../../src/commands/components.ts'
import { MINIMAL, outcomeOfText } from './setup.ts'

async function kafka(config: string) {
  const yaml = MINIMAL.replace('{console_1: {type: console}}', `{kafka_1: {type: kafka, config: {${config}}}}`)
  const { loaded, problems } = await outcomeOfText(yaml)
  expect(problems).toEqual([])
  if (loaded === null) throw new Error('not loaded')
  return loaded
}

test('a Kafka output needs its brokers and its topic', async () => {
  const { config } = await kafka('brokers: ["kafka:9092"], topic: mail.tap_2-b')
  expect(config.outputs[0]?.config).toEqual({ brokers: ['kafka:9092'], ssl: false, sasl: null, topic: 'mail.tap_2-b', compression: 'gzip' })
})

test('a Kafka output takes every key, and its password is a secret', async () => {
  const { config } = await kafka('brokers: ["kafka:9092"], topic: tap, ssl: true, sasl: {mechanism: plain, username: ZZuser, password: ZZpassword}, compression: none')
  expect(config.outputs[0]?.config).toMatchObject({ ssl: { ca: null, cert: null, key: null }, sasl: { username: 'ZZuser' }, compression: 'none' })
  expect(secretsOfOutputs(config)).toEqual(['ZZpassword'])
  expect(JSON.stringify(config.outputs) + inspect(config.outputs, { depth: 9 })).not.toContain('ZZ')
})

test('a password in clear on the way is a warning', async () => {
  const { warnings } = await kafka('brokers: ["kafka:9092"], topic: tap, sasl: {mechanism: plain, username: u, password: p}')
  expect(warnings.map(({ path }) => path)).toEqual(['outputs.kafka_1.config.sasl'])
})
