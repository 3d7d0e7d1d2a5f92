import { networkInterfaces } from 'node:os'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { Exposure, isFromBeyond } from '../../src/telemetry/exposure.ts'

/** Addresses for documents, which no machine has. */
const BEYOND = ['203.0.113.7', '::ffff:203.0.113.7', '2001:db8::7']
const own = Object.values(networkInterfaces()).flatMap((all) => all ?? []).map(({ address }) => address)

test('this machine and whoever is in one of its networks is not from beyond', () => {
  expect(own.length).toBeGreaterThan(0)
  expect([...own, '127.9.9.9', '::ffff:127.0.0.1'].filter(isFromBeyond)).toEqual([])
  expect(BEYOND.filter(isFromBeyond)).toEqual(BEYOND)
})

test('the first one from beyond is a warning, and only he', () => {
  const lines: string[] = []
  const exposure = new Exposure(pino({}, { write: (line: string) => void lines.push(line) }))
  for (const address of [undefined, ...own]) exposure.heed(address)
  expect(lines).toEqual([])
  for (const address of BEYOND) exposure.heed(address)
  expect(lines).toEqual([expect.stringMatching(/203\.0\.113\.7, from beyond .*globals\.http\.token/)])
})
