import { logLevel } from 'kafkajs'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { kafkaLogCreator } from '../../src/kafka/log.ts'

function written(level: logLevel, fields: Readonly<Record<string, unknown>> = {}): unknown[] {
  const lines: unknown[] = []
  const log = pino({ level: 'trace', base: null, timestamp: false }, { write: (line) => void lines.push(JSON.parse(line)) })
  kafkaLogCreator(log)(logLevel.DEBUG)({ namespace: 'Connection', level, label: '', log: { message: 'what', timestamp: '', ...fields } })
  return lines
}

test.each([logLevel.INFO, logLevel.WARN, logLevel.ERROR])('level %i is for debugging: whoever called tells what matters', (level) => {
  expect(written(level)).toEqual([{ level: 20, part: 'kafkajs/Connection', msg: 'what' }])
})

test('only known fields come through: others hold requests, and these credentials', () => {
  expect(written(logLevel.ERROR, { broker: 'kafka:9092', error: 'refused', payload: { password: 'hunter2' }, stack: 'hunter2', sasl: 'hunter2' })).toEqual([
    { level: 20, part: 'kafkajs/Connection', broker: 'kafka:9092', error: 'refused', msg: 'what' },
  ])
})

test('kafkajs\'s own debugging is left out, for it shows requests whole', () => {
  expect(written(logLevel.DEBUG)).toEqual([])
})
