import { describe, expect, test } from 'vitest'
import { InternalLog, NOT_FOR_DEVO } from '../../src/telemetry/internal-log.ts'
import type { Outbox } from '../../src/telemetry/outbox.ts'
import { VirtualClock } from '../support/virtual-clock.ts'

const START = Date.parse('2026-11-20T10:00:00.123Z')

function setUp() {
  const clock = new VirtualClock(START)
  const log = new InternalLog({ collector: { name: 'mine', version: '1.2.3' }, outputs: ['devo_1', 'relay_1'], clock })
  const outbox = (name: string): Outbox => {
    const found = log.outboxes.get(name)
    if (found === undefined) throw new Error(`no outbox ${name}`)
    return found
  }
  const say = (entry: object): void => log.hear(`${JSON.stringify({ level: 'info', time: new Date(START).toISOString(), msg: 'x', ...entry })}\n`)
  const bodies = (name = 'devo_1') => outbox(name).take().events.map(({ body }) => JSON.parse(body) as Record<string, unknown>)
  return { clock, log, outbox, say, bodies }
}

describe('the log on its way to Devo', () => {
  test('has the members that Devo’s own collectors send, for every output', () => {
    const { say, outbox, bodies } = setUp()
    say({ level: 'warn', input: 'tap', service: 'clicksBlocked', msg: 'Waiting', window: 'a/b' })
    const body = {
      msg: 'Waiting', time: '2026-11-20T10:00:00.123Z', level: 'warning', collector_name: 'mine', collector_version: '1.2.3', collector_image: null,
      input_name: 'tap', service_name: 'clicksBlocked', module_name: null,
    }
    expect(bodies('devo_1')).toEqual([body])
    expect(bodies('relay_1')).toEqual([body])
    expect(outbox('devo_1').take().events).toMatchObject([{ time: START, level: 'warning' }])
  })

  test('tells where a line comes from, however it says so', () => {
    const { say, bodies } = setUp()
    say({ part: 'tap/clicksBlocked' })
    say({ output: 'devo_1' })
    expect(bodies()).toMatchObject([{ input_name: 'tap', service_name: 'clicksBlocked' }, { input_name: null, module_name: 'devo_1' }])
  })

  test('leaves out debug, what is no line of the log, and what its own sending has said', () => {
    const { log, say, bodies } = setUp()
    say({ level: 'debug' })
    say({ ...NOT_FOR_DEVO, level: 'error' })
    log.hear('no JSON\n')
    log.hear('null\n')
    expect(bodies()).toEqual([])
    for (const level of ['info', 'error', 'fatal']) say({ level })
    expect(bodies().map(({ level }) => level)).toEqual(['info', 'error', 'error'])
  })

  test('is limited: a flood is cut, and the first line after it says by how much', async () => {
    const { clock, say, bodies, outbox } = setUp()
    for (let line = 0; line < 1_000; line += 1) say({ msg: `line ${line}` })
    expect(bodies()).toHaveLength(300)
    outbox('devo_1').arrived(outbox('devo_1').take())
    await clock.advance(10_000)
    for (let line = 0; line < 1_000; line += 1) say({ msg: `later ${line}` })
    expect(bodies().map(({ msg }) => msg).slice(0, 2)).toEqual(['LogLinesMissing [CODE:0112] Lines that were too many at once and are only in the log itself: 700', 'later 0'])
    expect(bodies()).toHaveLength(21)
  })

  test('is bounded while an output is away: the oldest go, and their number is told once it is back', async () => {
    const { clock, say, bodies, outbox } = setUp()
    for (let line = 0; line < 1_500; line += 1) {
      await clock.advance(500)
      say({ msg: `line ${line}` })
    }
    expect(bodies()).toHaveLength(1_001)
    const taken = outbox('devo_1').take()
    expect(bodies().slice(0, 2)).toMatchObject([{ msg: 'LogLinesMissing [CODE:0112] Lines of the log that are missing before this one, for Devo did not take them for too long: 500', level: 'warning' }, { msg: 'line 500' }])
    say({ msg: 'meanwhile' })
    outbox('devo_1').arrived(taken)
    expect(bodies().map(({ msg }) => msg)).toEqual(['LogLinesMissing [CODE:0112] Lines of the log that are missing before this one, for Devo did not take them for too long: 1', 'meanwhile'])
    expect(bodies('relay_1')).toHaveLength(1_001)
  })

  test('waits for a line until it is told to end', async () => {
    const { say, outbox } = setUp()
    const stop = new AbortController()
    const waiting = outbox('devo_1').some(stop.signal)
    say({})
    await waiting
    outbox('devo_1').arrived(outbox('devo_1').take())
    const second = outbox('devo_1').some(stop.signal)
    stop.abort(new Error('over'))
    await expect(second).rejects.toThrow('over')
  })
})
