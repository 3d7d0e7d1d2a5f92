import fc from 'fast-check'
import { jsonRecord, positionRecords, seenRecord, tombstone, type StateRecord } from '../../src/buffers/kafka/state-records.ts'
import { StateView } from '../../src/buffers/kafka/state-view.ts'
import { FatalError } from '../../src/pipeline/errors.ts'
import { mutate, mutations, type Mutation } from './mutate.ts'
import { assert, assertTold, target, type FuzzTarget } from './target.ts'

const WINDOW = { from: 1_795_000_000_000, to: 1_795_003_600_000 }
const [INPUT, SERVICE] = ['12/345 é', 'clicksBlocked']
const GOOD: readonly StateRecord[] = [
  jsonRecord({ kind: 'layout' }, { version: 1 }),
  ...positionRecords(
    {
      inputId: INPUT, service: SERVICE,
      position: {
        settled: WINDOW.to, readAt: WINDOW.to + 1, forgotten: [],
        holes: [{ ...WINDOW, since: 5, triedAt: 6, reason: '500' }], gaps: [{ ...WINDOW, recordedAt: 7, reason: 'too far into the past' }],
        seen: { window: WINDOW, fingerprints: new Uint8Array(48).fill(3) },
      },
    },
    null, 0, [],
  ),
  seenRecord(INPUT, SERVICE, { window: WINDOW, fingerprints: new Uint8Array(16).fill(4) }, 1),
  jsonRecord({ kind: 'output', name: 'devo_1' }, { begin: { 0: 5, 1: 7 }, missedEvents: 3, open: true }),
  jsonRecord({ kind: 'requests', pool: 'siem', minute: 29_916_666, writer: 'a/b' }, 3),
  jsonRecord({ kind: 'marker', inputId: INPUT }, 'x'),
  jsonRecord({ kind: 'removed', letters: { from: 3, to: 9 } }, 1_795_000_000_000),
  jsonRecord({ kind: 'removed', letters: { from: 5, to: 12 } }, 1_795_000_000_000),
  jsonRecord({ kind: 'move' }, { from: 'id', source: 'host:/x', section: 1, chunk: 2, deadLetter: 3, begin: { devo_1: { 0: 1 } }, done: true }),
  tombstone({ kind: 'requests', pool: 'siem', minute: 29_916_600, writer: 'a/b' }),
]

const WORDS = ['/', '%', '%ff', '-', 'position/', 'seen/', 'null', '"', '{', '}', '[', ']', ':', '-1', '1e400', 'NaN', '"settled":', '0.5']

/** Everything that anybody asks of it. */
function shown(view: StateView): unknown {
  return {
    layout: view.layout, move: view.move, outputs: [...view.outputs], inputIds: [...view.inputIds], services: view.services(), pools: view.pools(),
    state: view.stateOf(INPUT, SERVICE), seen: view.seenOf(INPUT, SERVICE), removed: view.removedLetters.ranges(),
  }
}

const NUMBERS = ['settled', 'readAt', 'from', 'to', 'since', 'triedAt', 'recordedAt', 'version', 'section', 'chunk', 'deadLetter', 'missedEvents', 'n']

/** A whole number where one is expected: what is none would be a mark that nothing is ever behind. Members that nobody knows may be anything. */
function assertNumbers(value: unknown): void {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return
  for (const [name, child] of Object.entries(value)) {
    if (NUMBERS.includes(name) && typeof child !== 'object' && typeof child !== 'string') assert(Number.isSafeInteger(child), () => `${name} is ${String(child)}`)
    assertNumbers(child)
  }
}

const state = target({
  name: 'a record of the state topic that is changed',
  runs: 3_000,
  cases: fc.record({ chosen: fc.nat(GOOD.length - 1), ofKey: fc.boolean(), changes: mutations({ words: WORDS }) }),
  check({ chosen, ofKey, changes }: { chosen: number; ofKey: boolean; changes: readonly Mutation[] }) {
    const view = new StateView(INPUT)
    GOOD.forEach(({ key, value }, index) => {
      if (index !== chosen) {
        view.apply(key, value)
        return
      }
      try {
        if (ofKey) view.apply(mutate(Buffer.from(key), changes).toString(), value)
        else view.apply(key, value === null ? null : mutate(value, changes))
      } catch (error) {
        assertTold(error, [FatalError])
      }
    })
    const seen = view.stateOf(INPUT, SERVICE)?.seen ?? []
    assert(seen.every(({ fingerprints }) => fingerprints.length > 0 && fingerprints.length % 16 === 0), () => 'half a fingerprint was taken')
    assertNumbers(shown(view))
    for (let offset = 0; offset < 20; offset += 1) {
      const isIn = view.removedLetters.ranges().some(({ from, to }) => from <= offset && offset < to)
      assert(view.removedLetters.has(offset) === isIn, () => `the dead letter at ${offset} was taken for what it is not`)
    }
    const position = view.stateOf(INPUT, SERVICE)
    if (position !== null) assert(Array.isArray(position.holes) && typeof position.settled === 'number', () => `a position was taken that is none: ${JSON.stringify(position)}`)
    for (const [name, { begin, open }] of view.outputs) assert(typeof open === 'boolean' && typeof begin === 'object', () => `the output ${name} was taken for what it is not`)
  },
})

export const stateTargets: readonly FuzzTarget[] = [state]
