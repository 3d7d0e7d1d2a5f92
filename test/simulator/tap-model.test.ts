import { describe, expect, test } from 'vitest'
import { TapModel } from '../../src/simulator/tap-model.ts'
import type { TapAnswer, TapModelOptions } from '../../src/simulator/tap-model.ts'
import type { TapEvent } from '../../src/simulator/tap-store.ts'

const NOW = Date.parse('2026-11-20T12:00:00Z')
const MINUTE = 60_000
const HOUR = 60 * MINUTE
const AUTHORIZATION = `Basic ${Buffer.from('principal:secret').toString('base64')}`
const LAST_HOUR = '2026-11-20T11:00:00Z/2026-11-20T12:00:00Z'

function api(options: Partial<TapModelOptions> = {}) {
  const clock = { now: NOW }
  const model = new TapModel({ now: () => clock.now, ...options })
  const ask = (path: string, query: string, more: { authorization?: string | undefined; method?: string } = {}): TapAnswer =>
    model.handle({ method: 'GET', path: `/v2/siem/${path}`, query, authorization: AUTHORIZATION, ...more })
  return { clock, model, ask }
}

function text(answer: TapAnswer): string {
  return Buffer.concat([...answer.body]).toString()
}

function json(answer: TapAnswer): Record<string, unknown[]> {
  // The tests compare what they read.
  return JSON.parse(text(answer)) as Record<string, unknown[]>
}

function refusal(answer: TapAnswer): string {
  return `${answer.status} ${text(answer)}`
}

function click(id: string, createdAt: number, more: Partial<TapEvent> = {}): TapEvent {
  return { service: 'clicksBlocked', createdAt, content: { id, threatStatus: 'active' }, ...more }
}

function ids(answer: TapAnswer, array = 'clicksBlocked'): unknown[] {
  return (json(answer)[array] ?? []).map((event) => (event as { id: unknown }).id).sort()
}

describe('what is refused', () => {
  test('an unknown path, another method, wrong or missing credentials, an endpoint that is not entitled', () => {
    const { ask } = api({ settings: { entitled: ['/v2/siem/all'] } })
    expect(ask('clicks', '').status).toBe(404)
    expect(ask('all/', '').status).toBe(404)
    expect(ask('all', '', { method: 'POST' })).toMatchObject({ status: 405, headers: { allow: 'GET' } })
    expect(ask('all', '', { authorization: undefined }).status).toBe(401)
    expect(ask('all', '', { authorization: AUTHORIZATION.slice('Basic '.length) }).status).toBe(401)
    expect(ask('all', '', { authorization: `Basic ${Buffer.from('principal:wrong').toString('base64')}` })).toMatchObject({
      status: 401,
      headers: { 'www-authenticate': expect.stringContaining('Basic') as unknown },
    })
    expect(ask('clicks/blocked', `format=json&interval=${LAST_HOUR}`).status).toBe(403)
    expect(ask('all', `format=json&interval=${LAST_HOUR}`).status).toBe(200)
  })

  test.each([
    ['format=json', '400 One of the parameters interval, sinceTime or sinceSeconds is required.'],
    ['format=json&interval=', '400 The parameter interval is malformed'],
    ['format=json&interval=2026-11-20T11:00:00Z', '400 The parameter interval is malformed'],
    ['format=json&interval=2026-11-20T11:00:00/2026-11-20T12:00:00', '400 The parameter interval is malformed'],
    ['format=json&interval=2026-11-20T11:00:00%2B00:00/2026-11-20T12:00:00+00:00', '400 The parameter interval is malformed'],
    ['format=json&interval=2026-11-20T11:00:00Z/2026-11-31T12:00:00Z', '400 The parameter interval is malformed'],
    ['format=json&interval=PT30M/PT30M', '400 The parameter interval is malformed'],
    [`format=json&interval=${LAST_HOUR}/PT1H`, '400 The parameter interval is malformed'],
    [`format=json&interval=${LAST_HOUR}&interval=${LAST_HOUR}`, '400 Only one of the parameters'],
    [`format=json&interval=${LAST_HOUR}&sinceSeconds=60`, '400 Only one of the parameters'],
    [
      'format=json&interval=2026-11-20T11:00:00Z/2026-11-20T11:00:29Z',
      '400 The requested interval is too short. Requests must be for at least 30.00s of data',
    ],
    ['format=json&interval=2026-11-20T12:00:00Z/2026-11-20T11:00:00Z', '400 The requested interval is too short.'],
    ['format=json&interval=2026-11-20T10:59:59Z/2026-11-20T12:00:00Z', '400 The requested interval is too long.'],
    [
      'format=json&interval=2026-11-13T11:59:59Z/PT1H',
      '400 The requested start time is too far into the past. Requests for information up to 7.00d are accepted',
    ],
    ['format=json&interval=2026-11-20T11:30:00Z/2026-11-20T12:00:01Z', '400 The requested interval is still current.'],
    ['format=json&sinceSeconds=29', '400 The requested interval is too short.'],
    ['format=json&sinceSeconds=3601', '400 The requested interval is too long.'],
    ['format=json&sinceSeconds=1e3', '400 The parameter sinceSeconds is malformed.'],
    ['format=json&sinceTime=yesterday', '400 The parameter sinceTime is malformed.'],
    [`format=xml&interval=${LAST_HOUR}`, '400 The parameter format is malformed.'],
    [`format=json&interval=${LAST_HOUR}&threatStatus=gone`, '400 The parameter threatStatus is malformed.'],
    [`format=json&interval=${LAST_HOUR}&threatType=URL`, '400 The parameter threatType is malformed.'],
    [`format=json&interval=${LAST_HOUR}&limit=10`, '400 The parameter limit is not known.'],
  ])('%s', (query, expected) => {
    expect(refusal(api().ask('clicks/blocked', query))).toContain(expected)
  })
})

describe('windows', () => {
  test.each([
    [LAST_HOUR, '2026-11-20T12:00:00Z'],
    ['2026-11-20T12:00:00%2B01:00/PT30M', '2026-11-20T11:30:00Z'],
    ['PT1H/2026-11-20T06:00:00-05:00', '2026-11-20T11:00:00Z'],
    ['2026-11-13T12:00:00Z/PT30S', '2026-11-13T12:00:30Z'],
    ['2026-11-20T11:00:00.999Z/2026-11-20T11:30:00.999Z', '2026-11-20T11:30:00Z'],
  ])('%s ends at %s', (interval, end) => {
    expect(json(api().ask('clicks/blocked', `format=JSON&interval=${interval}`))).toEqual({ queryEndTime: end, clicksBlocked: [] })
  })

  test('sinceSeconds and sinceTime end at the server time, rounded to the minute', () => {
    const { ask, clock } = api()
    clock.now = NOW + 31_000
    expect(json(ask('clicks/blocked', 'format=json&sinceSeconds=3600')).queryEndTime).toBe('2026-11-20T12:01:00Z')
    clock.now = NOW + 29_000
    expect(json(ask('clicks/blocked', 'format=json&sinceTime=2026-11-20T11:30:00Z')).queryEndTime).toBe('2026-11-20T12:00:00Z')
  })

  test('an event exactly on a boundary is in both windows, unless the end is told to be exclusive', () => {
    const { ask, model } = api()
    model.events.add(click('before', NOW - 2 * HOUR - 1), click('on', NOW - HOUR), click('after', NOW + 1))
    const earlier = `format=json&interval=PT1H/2026-11-20T11:00:00Z`
    const later = `format=json&interval=${LAST_HOUR}`
    expect(ids(ask('clicks/blocked', earlier))).toEqual(['on'])
    expect(ids(ask('clicks/blocked', later))).toEqual(['on'])
    model.configure({ endInclusive: false })
    expect(ids(ask('clicks/blocked', earlier))).toEqual([])
    expect(ids(ask('clicks/blocked', later))).toEqual(['on'])
  })

  test('events added in any order are found by their creation', () => {
    const { ask, model } = api()
    model.events.add(click('c', NOW - 3), click('a', NOW - 2 * HOUR), click('b', NOW - HOUR), click('d', NOW - 2))
    expect(ids(ask('clicks/blocked', `format=json&interval=${LAST_HOUR}`))).toEqual(['b', 'c', 'd'])
    model.events.forget(NOW - 3)
    expect(model.events.added).toBe(2)
    expect(ids(ask('clicks/blocked', `format=json&interval=${LAST_HOUR}`))).toEqual(['c', 'd'])
  })
})

describe('what is shown', () => {
  test('a late event only once it is visible, a flapping one not while it is hidden', () => {
    const { ask, model, clock } = api()
    const createdAt = NOW - 30 * MINUTE
    model.events.add(click('late', createdAt, { visibleAt: NOW + MINUTE }))
    model.events.add(click('flapping', createdAt, { hidden: [[NOW + MINUTE, NOW + 2 * MINUTE]] }))
    const shown = (at: number) => {
      clock.now = at
      return ids(ask('clicks/blocked', `format=json&interval=${LAST_HOUR}`))
    }
    expect(shown(NOW)).toEqual(['flapping'])
    expect(shown(NOW + MINUTE)).toEqual(['late'])
    expect(shown(NOW + 2 * MINUTE)).toEqual(['flapping', 'late'])
  })

  test('each endpoint has its own arrays, an empty one among them', () => {
    const { ask, model } = api()
    model.events.add({ service: 'messagesDelivered', createdAt: NOW - MINUTE, content: { id: 'm' } })
    const members = (path: string) => Object.keys(json(ask(path, `format=json&interval=${LAST_HOUR}`)))
    expect(members('clicks/permitted')).toEqual(['queryEndTime', 'clicksPermitted'])
    expect(members('messages/blocked')).toEqual(['queryEndTime', 'messagesBlocked'])
    expect(members('messages/delivered')).toEqual(['queryEndTime', 'messagesDelivered'])
    expect(members('issues')).toEqual(['queryEndTime', 'clicksPermitted', 'messagesDelivered'])
    expect(members('all')).toEqual(['queryEndTime', 'clicksBlocked', 'clicksPermitted', 'messagesBlocked', 'messagesDelivered'])
    expect(ids(ask('all', `format=json&interval=${LAST_HOUR}`), 'messagesDelivered')).toEqual(['m'])
  })

  test('threatStatus leaves false positives out unless they are asked for; threatType compares whatever the spelling', () => {
    const { ask, model } = api()
    const threat = (threatStatus: string | undefined, threatType: string) => ({ ...(threatStatus && { threatStatus }), threatType })
    const add = (id: string, ...threats: object[]) =>
      model.events.add({ service: 'messagesBlocked', createdAt: NOW - MINUTE, content: { id, threatsInfoMap: threats } })
    add('active', threat('active', 'URL'))
    add('cleared', threat('cleared', 'MESSAGE_TEXT'))
    add('false', threat('falsePositive', 'url'))
    add('both', threat('falsePositive', 'url'), threat('active', 'attachment'))
    add('unnamed', threat(undefined, 'url'))
    model.events.add({ service: 'messagesBlocked', createdAt: NOW - MINUTE, content: '{"id":"raw"}', threatStatuses: ['falsePositive'] })
    model.events.add(click('click', NOW - MINUTE), click('false click', NOW - MINUTE, { threatStatuses: ['falsePositive'] }))
    const asked = (query: string) => ids(ask('messages/blocked', `format=json&interval=${LAST_HOUR}${query}`), 'messagesBlocked')
    expect(asked('')).toEqual(['active', 'both', 'cleared', 'unnamed'])
    expect(asked('&threatStatus=falsePositive')).toEqual(['both', 'false', 'raw', 'unnamed'])
    expect(asked('&threatStatus=active&threatStatus=cleared')).toEqual(['active', 'both', 'cleared', 'unnamed'])
    expect(asked('&threatType=messageText')).toEqual(['cleared'])
    expect(asked('&threatType=attachment&threatType=messageText')).toEqual(['both', 'cleared'])
    expect(ids(ask('clicks/blocked', `format=json&interval=${LAST_HOUR}&threatType=attachment`))).toEqual([])
    expect(ids(ask('clicks/blocked', `format=json&interval=${LAST_HOUR}`))).toEqual(['click'])
  })

  test('text and bytes are put into the answer as they are', () => {
    const { ask, model } = api()
    model.events.add(click('', NOW - 1, { content: '{"n": 0.0,\n"big":12345678901234567890}' }))
    model.events.add(click('', NOW - 2, { content: Uint8Array.of(0x22, 0xff, 0x22) }))
    model.configure({ shuffle: false })
    const body = Buffer.concat([...ask('clicks/blocked', `format=json&interval=${LAST_HOUR}`).body])
    expect(body.toString('latin1')).toContain('[' + '"\xff",{"n": 0.0,\n"big":12345678901234567890}' + ']}')
  })

  test('styles change how an event is written, not what it is', () => {
    const { ask, model } = api()
    const content = { url: 'http://x/é😀\u2028', list: [1] }
    for (const style of ['plain', 'spaced', 'escaped'] as const) model.events.add(click('', NOW - 1, { content, style }))
    model.configure({ shuffle: false })
    const answer = ask('clicks/blocked', `format=json&interval=${LAST_HOUR}`)
    expect(json(answer).clicksBlocked).toEqual([content, content, content])
    expect(text(answer)).toContain('{\n "url": "http://x/é😀\u2028",\n "list": [\n  1\n ]\n}')
    expect(text(answer)).toContain('{"url":"http:\\/\\/x\\/\\u00e9\\ud83d\\ude00\\u2028","list":[1]}')
  })
})

describe('order', () => {
  const message = (id: number): TapEvent => ({
    service: 'messagesBlocked',
    createdAt: NOW - MINUTE,
    content: { id, messageParts: [1, 2, 3, 4, 5, 6], threatsInfoMap: [{ threat: 'a' }, { threat: 'b' }, { threat: 'c' }, { threat: 'd' }] },
  })

  function answers(seed: number, count: number): string[] {
    const { ask, model } = api({ seed })
    model.events.add(...Array.from({ length: 20 }, (_, id) => message(id)))
    return Array.from({ length: count }, () => text(ask('messages/blocked', `format=json&interval=${LAST_HOUR}`)))
  }

  test('of the events and of the lists inside them changes with every request', () => {
    const [first = '', second = ''] = answers(1, 2).map((body) => (JSON.parse(body) as { messagesBlocked: { id: number }[] }).messagesBlocked)
    expect(first).toHaveLength(20)
    const order = (list: typeof first) => (list as { id: number }[]).map(({ id }) => id)
    expect(order(first)).not.toEqual(order(second))
    const byId = (list: typeof first) => (list as { id: number }[]).toSorted((a, b) => a.id - b.id)
    expect(byId(first)).not.toEqual(byId(second))
    const sorted = (list: typeof first) => JSON.parse(JSON.stringify(byId(list)), (_, value: unknown) =>
      Array.isArray(value) ? value.map((element) => JSON.stringify(element)).sort() : value) as unknown
    expect(sorted(first)).toEqual(sorted(second))
  })

  test('comes from the seed', () => {
    expect(answers(7, 3)).toEqual(answers(7, 3))
    expect(answers(7, 1)).not.toEqual(answers(8, 1))
  })

  test('reading an answer again gives the same bytes', () => {
    const { ask, model } = api()
    model.events.add(...Array.from({ length: 20 }, (_, id) => message(id)))
    const answer = ask('messages/blocked', `format=json&interval=${LAST_HOUR}`)
    model.events.add(message(99))
    expect(text(answer)).toBe(text(answer))
    expect(text(answer)).not.toContain('"id":99')
  })

  test('the envelope may come in any order too', () => {
    const { ask } = api({ settings: { shuffleEnvelope: true } })
    const orders = new Set(Array.from({ length: 20 }, () => Object.keys(json(ask('all', `format=json&interval=${LAST_HOUR}`))).join()))
    expect(orders.size).toBeGreaterThan(10)
    expect([...orders].some((order) => order.endsWith('queryEndTime'))).toBe(true)
    for (const order of orders) expect(order.split(',')).toHaveLength(5)
  })
})

describe('format', () => {
  test('is syslog unless json is asked for: 204 where there is nothing', () => {
    const { ask, model } = api()
    const empty = ask('clicks/blocked', `interval=${LAST_HOUR}`)
    expect(empty.status).toBe(204)
    expect(text(empty)).toBe('')
    model.events.add(click('a', NOW - 1))
    const answer = ask('clicks/blocked', `interval=${LAST_HOUR}`)
    expect(answer).toMatchObject({ status: 200, headers: { 'content-type': 'text/plain;charset=UTF-8' } })
    expect(text(answer)).toMatch(/^<38>1 2026-11-20T11:59:59.999Z .*"id":"a".*\n$/)
  })

  test('json comes as application/json, as text/plain or now this, now that', () => {
    const { ask, model } = api()
    const types = () => Array.from({ length: 20 }, () => ask('clicks/blocked', `format=json&interval=${LAST_HOUR}`).headers['content-type'])
    expect(new Set(types())).toEqual(new Set(['application/json;charset=UTF-8']))
    model.configure({ contentType: 'text' })
    expect(new Set(types())).toEqual(new Set(['text/plain;charset=UTF-8']))
    model.configure({ contentType: 'mixed' })
    expect(new Set(types()).size).toBe(2)
  })

  test('the Date header is the server clock, which may be off or jump', () => {
    const { ask, model } = api()
    const date = () => ask('clicks/blocked', `format=json&interval=${LAST_HOUR}`).headers.date
    expect(date()).toBe('Fri, 20 Nov 2026 12:00:00 GMT')
    model.configure({ clockSkewMs: -MINUTE })
    expect(date()).toBe('Fri, 20 Nov 2026 11:59:00 GMT')
    expect(refusal(ask('clicks/blocked', `format=json&interval=${LAST_HOUR}`))).toBe('400 The requested interval is still current.')
    model.configure({ clockSkewMs: 0, dateSkewMs: HOUR })
    expect(date()).toBe('Fri, 20 Nov 2026 13:00:00 GMT')
    expect(ask('clicks/blocked', `format=json&interval=${LAST_HOUR}`).status).toBe(200)
  })
})

describe('the throttle', () => {
  const query = `format=json&interval=PT30M/2026-11-20T12:00:00Z`

  test('allows 1,800 requests of a pool in a rolling 24 hours', () => {
    const { ask, clock } = api()
    const siem = ['clicks/blocked', 'messages/blocked', 'messages/delivered', 'all', 'issues']
    for (let count = 0; count < 1_800; count += 1) {
      clock.now = NOW + count
      expect(ask(siem[count % siem.length] ?? '', query).status).toBe(200)
    }
    clock.now = NOW + 24 * HOUR - 1
    expect(refusal(ask('all', query))).toBe('429 Too Many Requests')
    expect(ask('all', query).headers).not.toHaveProperty('retry-after')
    expect(ask('clicks/permitted', query).status).toBe(200)
    clock.now = NOW + 24 * HOUR + 2
    expect(ask('all', query).status).toBe(200)
    expect(ask('all', query).status).toBe(429)
  })

  test('counts what it refuses too, so that hammering on never ends it', () => {
    const { ask, clock, model } = api({ settings: { quota: 3 } })
    expect([1, 2, 3].map(() => ask('all', 'format=json').status)).toEqual([400, 400, 400])
    for (let hour = 1; hour < 48; hour += 6) {
      clock.now = NOW + hour * HOUR
      expect(ask('all', query).status).toBe(429)
    }
    model.configure({ countRefused: false })
    clock.now = NOW + 80 * HOUR
    expect([1, 2, 3, 4].map(() => ask('all', 'format=json').status)).toEqual([400, 400, 400, 400])
  })

  test('does not count a stranger, but the right name with a wrong password', () => {
    const { ask, model } = api()
    ask('all', query, { authorization: undefined })
    ask('all', query, { authorization: `Basic ${Buffer.from('stranger:secret').toString('base64')}` })
    expect(model.log.used('siem', NOW)).toBe(0)
    ask('all', query, { authorization: `Basic ${Buffer.from('principal:wrong').toString('base64')}` })
    expect(model.log.used('siem', NOW)).toBe(1)
  })

  test('says when to come back where it is told to', () => {
    const { ask, clock } = api({ settings: { quota: 1, retryAfter: true } })
    ask('all', query)
    clock.now = NOW + HOUR
    expect(ask('all', query)).toMatchObject({ status: 429, headers: { 'retry-after': String(23 * 3600) } })
  })

  test('keeps a log: every request, the most in any 24 hours, how often each hour was asked', () => {
    const { ask, clock, model } = api()
    ask('all', `format=json&interval=PT1H/2026-11-20T11:30:00Z`)
    ask('all', `format=json&interval=PT30M/2026-11-20T12:00:00Z`)
    ask('all', 'format=json')
    ask('clicks/permitted', query)
    clock.now = NOW + 24 * HOUR
    ask('all', 'format=json')
    expect(model.log.entries).toHaveLength(5)
    expect(model.log.entries[0]).toEqual({
      time: NOW,
      pool: 'siem',
      path: '/v2/siem/all',
      query: 'format=json&interval=PT1H/2026-11-20T11:30:00Z',
      window: { from: NOW - 90 * MINUTE, to: NOW - 30 * MINUTE },
      status: 200,
      events: 0,
      counted: true,
    })
    expect(model.log.mostInADay('siem')).toBe(3)
    expect(model.log.mostInADay('clicks_permitted')).toBe(1)
    expect([...model.log.hoursAsked('/v2/siem/all')]).toEqual([
      [NOW - 2 * HOUR, 1],
      [NOW - HOUR, 2],
    ])
  })
})
