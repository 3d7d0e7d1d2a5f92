import { describe, expect, test } from 'vitest'
import { TapModel } from '../../src/simulator/tap-model.ts'
import type { TapAnswer } from '../../src/simulator/tap-model.ts'

const NOW = Date.parse('2026-11-20T12:00:00Z')
const AUTHORIZATION = `Basic ${Buffer.from('principal:secret').toString('base64')}`

function api() {
  const clock = { now: NOW }
  const model = new TapModel({ now: () => clock.now })
  model.events.add({ service: 'clicksBlocked', createdAt: NOW - 60_000, content: { id: 'a' } })
  model.events.add({ service: 'clicksBlocked', createdAt: NOW - 1_000, content: { id: 'b' } })
  const ask = (path = 'clicks/blocked', interval = 'PT1H/2026-11-20T12:00:00Z') =>
    model.handle({ method: 'GET', path: `/v2/siem/${path}`, query: `format=json&interval=${interval}`, authorization: AUTHORIZATION })
  return { clock, model, ask }
}

function text(answer: TapAnswer): string {
  return Buffer.concat([...answer.body]).toString()
}

describe('what an answer becomes', () => {
  test('a status with any text, with and without Retry-After', () => {
    const { model, ask } = api()
    model.faults.set({ kind: 'status', status: 503, body: 'away', times: 1 })
    expect(ask()).toMatchObject({ status: 503, headers: { 'content-type': 'text/plain;charset=UTF-8' } })
    model.faults.set({ kind: 'status', status: 429, retryAfter: 7, times: 1 })
    const throttled = ask()
    expect(throttled).toMatchObject({ status: 429, headers: { 'retry-after': '7' } })
    expect(text(throttled)).toBe('')
    expect(ask().status).toBe(200)
    expect(model.log.entries.map(({ status, counted }) => [status, counted])).toEqual([[503, true], [429, true], [200, true]])
  })

  test('HTML, nothing at all, no array, another value in its place, more behind the end', () => {
    const { model, ask } = api()
    model.faults.set({ kind: 'html', times: 1 })
    const page = ask()
    expect(page).toMatchObject({ status: 200, headers: { 'content-type': 'text/html;charset=UTF-8' } })
    expect(text(page)).toMatch(/^<!DOCTYPE html>/)
    model.faults.set({ kind: 'empty', times: 1 })
    const empty = ask()
    expect(empty.status).toBe(200)
    expect(text(empty)).toBe('')
    model.faults.set({ kind: 'missing-array', times: 1 })
    expect(text(ask())).toBe('{"queryEndTime":"2026-11-20T12:00:00Z"}')
    for (const value of ['null', '{"a":[1]}', '"text"']) {
      model.faults.set({ kind: 'array', text: value, times: 1 })
      expect(text(ask())).toBe(`{"queryEndTime":"2026-11-20T12:00:00Z","clicksBlocked":${value}}`)
    }
    model.faults.set({ kind: 'trailing', text: '\n{}', times: 1 })
    expect(text(ask())).toMatch(/\]\}\n\{\}$/)
  })

  test('500 where the window holds too much', () => {
    const { model, ask } = api()
    model.faults.set({ kind: 'too-many', maxEvents: 1 })
    expect(ask().status).toBe(500)
    expect(ask('clicks/blocked', 'PT30S/2026-11-20T12:00:00Z').status).toBe(200)
  })

  test('an Age header, and a queryEndTime earlier than asked that leaves events out', () => {
    const { model, ask } = api()
    model.faults.set({ kind: 'headers', headers: { age: '60' } })
    expect(ask().headers.age).toBe('60')
    model.faults.set({ kind: 'query-end', lagMs: 30_000 })
    expect(JSON.parse(text(ask()))).toEqual({ queryEndTime: '2026-11-20T11:59:30Z', clicksBlocked: [{ id: 'a' }] })
  })

  test('what happens on the way is handed to the carrier', () => {
    const { model, ask } = api()
    model.faults.set({ kind: 'stall', afterBytes: 0, times: 1 })
    expect(ask().transport).toMatchObject({ kind: 'stall', afterBytes: 0 })
    expect(ask().transport).toBeNull()
  })
})

describe('which requests meet a fault', () => {
  const gone = { kind: 'status', status: 500 } as const

  test('one endpoint, so many times, or until it is taken back', () => {
    const { model, ask } = api()
    const takeBack = model.faults.set({ ...gone, path: '/v2/siem/all' })
    expect([ask().status, ask('all').status, ask('all').status]).toEqual([200, 500, 500])
    expect(model.faults.list()).toMatchObject([{ met: 2 }])
    takeBack()
    expect(ask('all').status).toBe(200)
    model.faults.set({ ...gone, times: 2 })
    expect([ask().status, ask().status, ask().status]).toEqual([500, 500, 200])
    model.faults.set(gone)
    model.faults.clear()
    expect(ask().status).toBe(200)
  })

  test('windows that contain a minute', () => {
    const { model, ask } = api()
    model.faults.set({ ...gone, minute: Date.parse('2026-11-20T11:30:00Z') })
    expect(ask().status).toBe(500)
    expect(ask('clicks/blocked', '2026-11-20T11:30:30Z/PT30S').status).toBe(500)
    expect(ask('clicks/blocked', '2026-11-20T11:29:59Z/PT30S').status).toBe(500)
    expect(ask('clicks/blocked', '2026-11-20T11:31:00Z/PT10M').status).toBe(200)
    expect(ask('clicks/blocked', '2026-11-20T11:29:00Z/2026-11-20T11:30:00Z').status).toBe(200)
  })

  test('a time of the server, and a share of the requests', () => {
    const { clock, model, ask } = api()
    model.faults.set({ ...gone, from: NOW + 1_000, until: NOW + 2_000 })
    const at = (ms: number) => {
      clock.now = NOW + ms
      return ask().status
    }
    expect([at(0), at(1_000), at(1_999), at(2_000)]).toEqual([200, 500, 500, 200])
    model.faults.clear()
    model.faults.set({ ...gone, probability: 0.3 })
    const failed = Array.from({ length: 200 }, () => ask().status).filter((status) => status === 500).length
    expect(failed).toBeGreaterThan(30)
    expect(failed).toBeLessThan(90)
  })

  test('a request that is refused anyway is still one that meets it', () => {
    const { model } = api()
    model.faults.set(gone)
    expect(model.handle({ method: 'GET', path: '/v2/siem/all', query: '', authorization: undefined }).status).toBe(500)
  })
})
