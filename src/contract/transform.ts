import assert from 'node:assert/strict'
import { countEvents, eventsOf, FINGERPRINT_BYTES, type Batch } from '../pipeline/event.ts'
import type { Transform } from '../pipeline/transform.ts'
import { batchOf } from './batches.ts'
import type { Runner } from './runner.ts'

/** Whatever an event may be: empty, with numbers that no parser keeps, with escapes, with members of one name, nested. */
const EVENTS = [
  '{}',
  '{"classification":"phish","recipient":["a@example.com","b@example.com"],"spamScore":12345678901234567890,"impostorScore":0.0}',
  '{"classification":"malware","recipient":"a@example.com","subject":"\\u0041\\"\\\\ é\\ud83d"}',
  '{ "messageParts" : [ {"filename":"x.pdf"} , {"filename":null} ], "messageParts" : null }',
  '{"threatsInfoMap":[{"threat":{"deep":[[[{}]]]}}],"@devo_pulling_id":"1"}',
]

/**
 * What every transform owes (`Transform`). `runner` is the test runner: the functions of node:test, vitest or Jest. `events` are JSON texts beside those
 * of the suite, for what this transform is about.
 */
export function transformContract(
  name: string,
  makeTransform: () => Transform | Promise<Transform>,
  { describe, test }: Pick<Runner, 'describe' | 'test'>,
  events: readonly string[] = [],
): void {
  const all = [...EVENTS, ...events]

  describe(`transform contract: ${name}`, () => {
    test('a batch is JSON objects in lines, with a fingerprint for each', async () => {
      const { left } = apply(await makeTransform(), batchOf(all))
      if (left === null) return
      const lines = [...eventsOf(left)]
      assert.equal(left.lines.at(-1), 0x0a)
      assert.equal(countEvents(left), lines.length)
      for (const line of lines) assert.equal(Object.prototype.toString.call(JSON.parse(Buffer.from(line).toString())), '[object Object]')
    })

    test('an event keeps its fingerprint, and those that stay their order', async () => {
      const batch = batchOf(all)
      const known = fingerprintsOf(batch)
      const { left } = apply(await makeTransform(), batch)
      const places = left === null ? [] : fingerprintsOf(left).map((one) => known.indexOf(one))
      assert.ok(!places.includes(-1))
      assert.deepEqual(places, places.toSorted((a, b) => a - b))
    })

    test('each event is either passed on, left out, or refused once', async () => {
      const batch = batchOf(all)
      const known = fingerprintsOf(batch)
      const { left, refused } = apply(await makeTransform(), batch)
      assert.equal(new Set(refused).size, refused.length)
      const passed = left === null ? [] : fingerprintsOf(left)
      for (const index of refused) assert.ok(index in known && !passed.includes(known[index] ?? ''))
    })

    test('there is no state: the same batch gives the same again, whatever came between', async () => {
      const transform = await makeTransform()
      const first = textOf(apply(transform, batchOf(all)))
      for (const event of all) apply(transform, batchOf([event]))
      assert.equal(textOf(apply(transform, batchOf(all))), first)
      assert.equal(textOf(apply(await makeTransform(), batchOf(all))), first)
    })

    test('what is known of the pull stays', async () => {
      const pull = { inputId: 'other', service: 'messagesBlocked', pulledAt: 5, environment: 'prod' }
      const { left } = apply(await makeTransform(), batchOf(all, pull))
      if (left !== null) assert.deepEqual({ inputId: left.inputId, service: left.service, pulledAt: left.pulledAt, environment: left.environment }, pull)
    })

    test('another batch has bytes of its own', async () => {
      const batch = batchOf(all)
      const { left } = apply(await makeTransform(), batch)
      if (left !== null && left !== batch) assert.equal(left.lines.byteLength, left.lines.buffer.byteLength)
    })
  })
}

interface Result {
  readonly left: Batch | null
  readonly refused: readonly number[]
}

function apply(transform: Transform, batch: Batch): Result {
  const refused: number[] = []
  return { left: transform(batch, (_batch, index) => refused.push(index)), refused }
}

function fingerprintsOf({ fingerprints }: Batch): readonly string[] {
  const hex = Buffer.from(fingerprints).toString('hex')
  return hex.match(new RegExp(`.{${2 * FINGERPRINT_BYTES}}`, 'g')) ?? []
}

function textOf({ left, refused }: Result): string {
  return `${refused.join()} ${left === null ? '' : Buffer.from(left.lines).toString()}`
}
