import { expect, it } from 'vitest'
import { FINGERPRINT_BYTES } from '../../src/pipeline/event.ts'
import { Shipment } from '../../src/pipeline/shipment.ts'
import type { Transform } from '../../src/pipeline/transform.ts'
import { createFilter } from '../../src/transforms/filter.ts'
import { createRedact } from '../../src/transforms/redact.ts'
import { openShares } from '../contract/buffer-units.ts'
import { hurried, ModelSink, openBuffer, temporaryFolder, unit } from './support.ts'

const dropB = createFilter({ effect: 'drop', conditions: [{ field: '/name', test: { kind: 'one-of', literals: [{ text: 'b', number: null, boolean: null }] } }] })
const maskName = createRedact({ fields: ['/name'], action: 'mask', key: null })

async function ship(sink: ModelSink, transforms: readonly Transform[], names: readonly string[], text = names.map((name) => `{"name":"${name}"}\n`).join('')): Promise<Shipment> {
  const buffer = await openBuffer(await temporaryFolder())
  const from = (await openShares(buffer, [{ name: 'devo_1', startFrom: 'oldest' }])).get('devo_1')?.cursor ?? ''
  const fingerprints = Uint8Array.from({ length: names.length * FINGERPRINT_BYTES }, (_, index) => 1 + index / FINGERPRINT_BYTES)
  await buffer.append(unit([], { chunks: [{ lines: new TextEncoder().encode(text).slice(), fingerprints }] }))
  const { signal } = new AbortController()
  const shipment = new Shipment(from, {
    output: 'devo_1', sink, buffer, transforms, maxEvents: 100, maxBytes: 1e6, clock: hurried, signal, stop: signal, onFailure: (error) => expect.fail(String(error)),
  })
  await shipment.proven
  return shipment
}

const lettersOf = ({ deadLetters }: Shipment) => deadLetters.map(({ event, fingerprint, reason }) => [Buffer.from(event).toString(), fingerprint[0], reason])

it('an event that the destination refuses is a dead letter as it was read, for it goes through the transforms again', async () => {
  const sink = new ModelSink({ behave: (_names, { reject }, [batch]) => batch && reject(batch, 1, 'too large') })
  for (const transforms of [[dropB, maskName], [maskName], [dropB]]) {
    const expected = transforms.includes(dropB) ? ['{"name":"c"}', 3] : ['{"name":"b"}', 2]
    expect(lettersOf(await ship(sink, transforms, ['a', 'b', 'c']))).toEqual([[...expected, 'too large']])
  }
  expect(sink.shipped[0]).toEqual(['***', '***'])
})

it('a dead letter tells when it was refused, and of which pull it is', async () => {
  const before = Date.now()
  const { deadLetters } = await ship(new ModelSink({ behave: (_names, { reject }, [batch]) => batch && reject(batch, 0, 'no') }), [], ['a'])
  const { inputId, service, pulledAt, environment } = unit([])
  expect(deadLetters).toMatchObject([{ output: 'devo_1', inputId, service, pulledAt, environment, size: '{"name":"a"}'.length }])
  expect(deadLetters[0]?.at).toBeGreaterThanOrEqual(before)
  expect(deadLetters[0]?.at).toBeLessThanOrEqual(Date.now())
})

it('an event that a transform cannot read does not go out, and counts as one that was tried', async () => {
  const sink = new ModelSink()
  const shipment = await ship(sink, [maskName, dropB], ['a', 'b', 'c'], '{"name":"a"}\n{"name":"secret"\n{"name":"c"}\n')
  expect(sink.shipped).toEqual([['***', '***']])
  expect(lettersOf(shipment)).toEqual([['{"name":"secret"', 2, expect.stringContaining('no transform can read it')]])
  expect([shipment.eventsRead, shipment.eventsSent]).toEqual([3, 3])
})

it('an output that says it is done before it has taken all events has not delivered', async () => {
  const hasty = new ModelSink()
  hasty.ship = () => async () => undefined
  await expect(ship(hasty, [], ['a'])).rejects.toThrow('before it had taken all events')
})
