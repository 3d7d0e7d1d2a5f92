import { expect, test } from 'vitest'
import { TapModel } from '../../src/simulator/tap-model.ts'

const NOW = Date.UTC(2026, 10, 20, 12)
const ID = 'ab'.repeat(32)
const AUTHORIZATION = `Basic ${Buffer.from('principal:secret').toString('base64')}`

function setup(settings: ConstructorParameters<typeof TapModel>[0]['settings'] = {}) {
  const model = new TapModel({ now: () => NOW, settings })
  const ask = (id: string, { query = '', authorization = AUTHORIZATION, method = 'GET' } = {}) => {
    const { status, headers, body } = model.handle({ method, path: `/v2/threat/summary/${id}`, query, authorization })
    return { status, type: headers['content-type'], text: Buffer.concat([...body]).toString() }
  }
  return { model, ask }
}

test('every hash is a threat, with the same summary each time, and nothing else is one', () => {
  const { model, ask } = setup()
  const { status, type, text } = ask(ID)
  expect({ status, type }).toEqual({ status: 200, type: 'application/json;charset=UTF-8' })
  expect(JSON.parse(text)).toMatchObject({ id: ID, status: expect.stringMatching(/^(active|cleared)$/) as string, attackSpread: expect.any(Number) as number })
  expect(ask(ID).text).toBe(text)
  expect(ask('cd'.repeat(32)).text).not.toBe(text)
  expect([ask('0'.repeat(64)), ask('abc'), ask(`${ID}/x`), ask('')].map((answer) => answer.status)).toEqual([404, 404, 404, 404])
  model.threats.set(ID, '{"status":"cleared"}')
  expect(ask(ID).text).toBe('{"status":"cleared"}')
  model.threats.set(ID, null)
  expect(ask(ID).status).toBe(404)
})

test('it takes no parameter, no other method, and no false credentials; who is not entitled is told', () => {
  const { ask } = setup()
  expect(ask(ID, { query: 'format=json' })).toMatchObject({ status: 400 })
  expect(ask(ID, { method: 'POST' })).toMatchObject({ status: 405 })
  expect(ask('0'.repeat(64), { authorization: AUTHORIZATION.slice(0, -4) })).toMatchObject({ status: 401 })
  expect(setup({ entitled: ['/v2/siem/all'] }).ask(ID)).toMatchObject({ status: 403 })
  expect(setup({ entitled: ['/v2/threat/summary'] }).ask(ID)).toMatchObject({ status: 200 })
})

test('it has no quota, spends none of the others, and is met by faults of its own or of all threats', () => {
  const { model, ask } = setup({ quota: 2 })
  expect([1, 2, 3, 4].map(() => ask(ID).status)).toEqual([200, 200, 200, 200])
  expect([model.log.used('threat', NOW), model.log.used('siem', NOW)]).toEqual([4, 0])
  model.faults.set({ kind: 'status', status: 500, path: `/v2/threat/summary/${ID}`, times: 1 })
  expect([ask('cd'.repeat(32)).status, ask(ID).status, ask(ID).status]).toEqual([200, 500, 200])
  model.faults.set({ kind: 'status', status: 429, path: '/v2/threat/summary' })
  expect(ask(ID).status).toBe(429)
})
