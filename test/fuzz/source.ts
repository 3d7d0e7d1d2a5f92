import { Readable } from 'node:stream'
import fc from 'fast-check'
import type { HttpRequest } from '../../src/sources/proofpoint-tap/http.ts'
import { Random } from '../../src/simulator/tap-random.ts'
import { HOUR, inputConfig, MINUTE, serviceConfig, START, TapSimulation } from '../support/tap-simulation.ts'
import { mutate, mutations, type Mutation } from './mutate.ts'
import { assert, target, type FuzzTarget } from './target.ts'

const NAMES = ['clicksBlocked', 'clicksPermitted', 'messagesBlocked', 'messagesDelivered'] as const
/** Shorter than the look-back: then each event is in an answer that comes unchanged before its time is final. */
const HOSTILE_MS = 35 * MINUTE

interface HostileAnswer {
  readonly changes: readonly Mutation[]
  /** Null: as it was. */
  readonly status: number | null
  readonly headers: Readonly<Record<string, string>>
}

const header = fc.constantFrom('', 'x', '-1', '1e999', 'Tue', 'Tue, 99 Foo 2026 99:99:99 GMT', '9999999999', '\u00e9', 'application/json', 'text/html', 'gzip, gzip')
const hostileAnswer: fc.Arbitrary<HostileAnswer> = fc.record({
  changes: fc.oneof(fc.constant([]), mutations({ words: ['<html>', '{', '}', '[', ']', '"', ',', '[]', 'null', '\\'] })),
  status: fc.option(fc.constantFrom(100, 201, 206, 301, 304, 401, 403, 404, 407, 418, 429, 500, 503, 599), { freq: 3 }),
  headers: fc.dictionary(fc.constantFrom('date', 'retry-after', 'content-type', 'age', 'location', 'content-length'), header, { maxKeys: 3 }),
})

interface Plan {
  readonly isCombined: boolean
  readonly seed: number
  /** In turn; an answer in between comes as it was. */
  readonly answers: readonly HostileAnswer[]
}

const source = target({
  name: 'answers of the API that are changed in all parts, for half an hour',
  runs: 5,
  bounds: { cpuMs: 30_000 },
  cases: fc.record({ isCombined: fc.boolean(), seed: fc.nat(1_000_000), answers: fc.array(hostileAnswer, { minLength: 1, maxLength: 12 }) }),
  async check({ isCombined, seed, answers }: Plan) {
    const services = NAMES.map((name) => serviceConfig(name))
    const simulation = new TapSimulation([inputConfig({ services, endpointMode: isCombined ? 'combined' : 'separate' })], { model: { seed } })
    simulation.request = hostile(simulation, answers)
    const random = new Random(seed, 'events')
    const texts = Array.from({ length: 60 }, (_, n) => {
      const content = { GUID: `${seed}-${n}`, subject: 'x'.repeat(random.below(200)) }
      simulation.model.events.add({ service: NAMES[n % NAMES.length] ?? 'clicksBlocked', createdAt: START + random.below(HOUR), content })
      return JSON.stringify(content)
    })
    await simulation.start()
    await simulation.clock.advance(4 * HOUR)
    await simulation.stop()
    const came = [...simulation.buffer.events.keys()]
    const lost = texts.filter((text) => !came.some((event) => event.includes(text)))
    assert(lost.length === 0, () => `${lost.length} events are lost: ${lost[0] ?? ''}`)
    assert(simulation.buffer.gaps.length === 0, () => 'an answer made a gap that the API never spoke of')
    for (const line of simulation.rawLines) assert(line.length < 5_000, () => `a line in the log of ${line.length} bytes`)
    const stacks = simulation.rawLines.filter((line) => line.includes('"stack"'))
    assert(stacks.length === 0, () => `a bug in the log: ${stacks[0] ?? ''}`)
  },
})

function hostile(simulation: TapSimulation, answers: readonly HostileAnswer[]): HttpRequest {
  const honest = simulation.request
  let turn = 0
  return async (request) => {
    const response = await honest(request)
    const answer = answers[turn % (answers.length + 1)]
    turn += 1
    if (answer === undefined || simulation.clock.trueTime() > START + HOSTILE_MS) return response
    const body = mutate(Buffer.concat(await response.body.toArray() as Buffer[]), answer.changes) // of bytes
    return { status: answer.status ?? response.status, headers: { ...response.headers, ...answer.headers }, body: Readable.from([body], { objectMode: false }) }
  }
}

export const sourceTargets: readonly FuzzTarget[] = [source]
