import avsc from 'avsc'
import { expect, test } from 'vitest'
import { SingleObjectCodec } from '../../../src/buffers/kafka/single-object.ts'
import { tapEventEncoder } from '../../../src/buffers/kafka/tap-event.ts'
import { numbered, openShares, readShipment } from '../../contract/buffer-units.ts'
import { describeKafka } from '../../support/kafka.ts'
import { Destination, makeTopics, startProcess, type Topics } from './reading.ts'

const encode = tapEventEncoder({ inputId: '12345', service: 'clicksBlocked', pulledAt: 5, environment: null }, { from: 0, to: 1 })
const good = (event: string): Buffer => encode(new Uint8Array(16), Buffer.from(event))
const later = new SingleObjectCodec({ type: 'record', name: 'Later', fields: [{ name: 'n', type: 'int' }] } satisfies avsc.Schema)
const key = Buffer.from('k')

/** What must not be taken for an event, and what is said of it. */
const FOREIGN: readonly (readonly [what: string, value: Buffer | null, reason: string])[] = [
  ['foreign bytes', Buffer.from('{"json":"of another program"}'), 'not in Avro single-object encoding'],
  ['an event that is cut', good('{"n":1,"cut":"abcdef"}').subarray(0, -3), 'not a value of its schema'],
  ['a header alone', good('{}').subarray(0, 10), 'not a value of its schema'],
  ['a schema that is not known', later.encode({ n: 3 }), 'a schema that is not known here'],
  ['a null value', null, 'no value'],
  ['an empty value', Buffer.alloc(0), 'not in Avro single-object encoding'],
  ['an event of nothing', good(''), 'not one JSON object in one line'],
  ['an event of two lines', good('{"a":1}\n{"b":2}'), 'not one JSON object in one line'],
  ['an event that is no object', good('[1,2]'), 'not one JSON object in one line'],
  ['an event whose own members cannot be read', good('{"@devo_environment":"x}'), 'not one JSON object in one line'],
]

async function settledLetters(topics: Topics) {
  const letters = await topics.deadLetters()
  return letters.map(({ output, reason, size }) => ({ output, reason, size }))
}

describeKafka('what is no event in the events topic', () => {
  test('is a dead letter of each output, with its offset and why; delivery goes on, and a restart tells none of it again', async () => {
    const topics = await makeTopics()
    await topics.append(numbered(0, 3))
    const begin = (await topics.ends()).get(0) ?? 0
    await topics.produce(FOREIGN.map(([, value]) => ({ partition: 0, key, value })))
    // That alone is no reason: nobody needs the key.
    await topics.produce([{ partition: 0, key: null, value: good('{"key":null}') }])
    await topics.append(numbered(3, 2))
    const expected = [...numbered(0, 3), '{"key":null}', ...numbered(3, 2)]

    const [a, b] = [new Destination(), new Destination()]
    const outputs = [{ name: 'a', sink: a.sink('1') }, { name: 'b', sink: b.sink('1') }]
    const first = await startProcess(topics, outputs)
    await Promise.all([a, b].map((destination) => destination.until(() => destination.events.length >= expected.length)))
    await first.stop()
    const second = await startProcess(topics, outputs)
    await topics.append(numbered(5, 1))
    await Promise.all([a, b].map((destination) => destination.until(() => destination.events.length > expected.length)))
    const { outputs: shown } = await second.buffer.snapshot()
    await second.stop()

    for (const destination of [a, b]) expect(destination.events).toEqual([...expected, ...numbered(5, 1)])
    expect(shown).toMatchObject(['a', 'b'].map((name) => ({ name, backlogEvents: 0, deadLetters: FOREIGN.length })))
    const letters = await settledLetters(topics)
    for (const output of ['a', 'b'])
      expect(letters.filter((letter) => letter.output === output)).toEqual(
        FOREIGN.map(([, value, reason], index) => ({
          output,
          reason: expect.stringMatching(new RegExp(`^record ${begin + index} of partition 0 of .*${reason}`)) as string,
          size: value?.length ?? 0,
        })),
      )
    const told = (lines: typeof first.lines) => lines.flatMap(({ msg, output, offset, records }) => (/passes over .* cannot be read/.test(msg) ? [[output, offset, records]] : []))
    // The first one at once, and the others in one line.
    expect(told(first.lines).sort()).toEqual(['a', 'b'].flatMap((output) => [[output, begin, 1], [output, begin + 1, FOREIGN.length - 1]]))
    expect(told(second.lines)).toEqual([])
  })

  test('is kept by the commit that passes over it: what was only read is read, and told, again by whoever has the share next', async () => {
    const topics = await makeTopics()
    await topics.append(numbered(0, 1))
    await topics.produce([{ partition: 0, key, value: Buffer.from('no event') }])
    await topics.append(numbered(1, 1))
    const buffer = await topics.open()
    const share = (await openShares(buffer, [{ name: 'a', startFrom: 'oldest' }])).get('a')
    const first = await readShipment(buffer, 'a', share?.cursor ?? '', { maxEvents: 1 })
    await readShipment(buffer, 'a', first.cursor)
    await buffer.commit('a', first.cursor, [])
    expect(await topics.deadLetters()).toEqual([])
    await openShares(buffer, [])

    const destination = new Destination()
    const process = await startProcess(topics, [{ name: 'a', sink: destination.sink('1') }])
    await destination.until(() => destination.events.includes('{"n":1}'))
    await process.stop()
    expect(await settledLetters(topics)).toHaveLength(1)
    // And by nobody again where the share comes back.
    await topics.append(numbered(2, 1))
    const back = (await openShares(buffer, [{ name: 'a', startFrom: 'oldest' }])).get('a')
    const last = await readShipment(buffer, 'a', back?.cursor ?? '')
    expect(last.events).toEqual(numbered(2, 1))
    await buffer.commit('a', last.cursor, [])
    expect(await settledLetters(topics)).toHaveLength(1)
  })
})
