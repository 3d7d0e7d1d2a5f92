import { pino } from 'pino'
import { expect, test } from 'vitest'
import type { EventBuffer, InputOwnership } from '../../src/pipeline/buffer.ts'
import { InputsTakenError, ownInputsSoon } from '../../src/pipeline/own-inputs.ts'
import { VirtualClock } from '../support/virtual-clock.ts'
import { ModelSink, openBuffer, outputTo, silent, superviseWith, temporaryFolder } from './support.ts'

const OWNERSHIP: InputOwnership = { lost: new AbortController().signal, release: async () => undefined }

/** Inputs that are another's until `freeAt` of the clock, or for good. */
function inputsOf(clock: VirtualClock, freeAfterMs: number): Pick<EventBuffer, 'ownInputs'> {
  return {
    async ownInputs(signal) {
      await clock.sleep(freeAfterMs, signal)
      return OWNERSHIP
    },
  }
}

function heard() {
  const lines: string[] = []
  return { lines, log: pino({ level: 'info' }, { write: (line: string) => void lines.push(line) }) }
}

const never = new AbortController().signal

test('inputs that nobody has are owned without a word, and no timer stays', async () => {
  const clock = new VirtualClock(0)
  const { lines, log } = heard()
  expect(await clock.run(ownInputsSoon({ buffer: inputsOf(clock, 500), clock, log, signal: never }))).toBe(OWNERSHIP)
  expect([lines, clock.pendingTimers]).toEqual([[], 0])
})

test('those of a collector that was killed are waited for, and it is told at once', async () => {
  const clock = new VirtualClock(0)
  const { lines, log } = heard()
  const owning = ownInputsSoon({ buffer: inputsOf(clock, 12_000), clock, log, signal: never })
  await clock.advance(1_000)
  expect(lines).toEqual([expect.stringContaining('waiting at most')])
  expect(await clock.run(owning)).toBe(OWNERSHIP)
  expect([lines.length, clock.pendingTimers]).toEqual([1, 0])
})

test('those of one that runs are an error that says what to do; a stop comes before it', async () => {
  const clock = new VirtualClock(0)
  const owning = ownInputsSoon({ buffer: inputsOf(clock, 1e9), clock, log: silent, signal: never })
  await expect(clock.run(owning)).rejects.toThrow(InputsTakenError)
  await expect(owning).rejects.toThrow('stop it first')
  expect(clock.now()).toBeLessThan(30_000)
  const stop = new AbortController()
  const stopped = ownInputsSoon({ buffer: inputsOf(clock, 1e9), clock, log: silent, signal: stop.signal })
  stop.abort(new Error('SIGTERM'))
  await expect(stopped).rejects.toThrow('SIGTERM')
  expect(clock.pendingTimers).toBe(0)
})

test.each([true, false])('a run (once: %s) beside another collector', async (once) => {
  const clock = new VirtualClock(0)
  const buffer = Object.assign(await openBuffer(await temporaryFolder()), inputsOf(clock, 1e9))
  const stop = new AbortController()
  const running = superviseWith({ buffer, outputs: [outputTo('devo_1', new ModelSink())], clock, stop: stop.signal, once })
  const outcome = running.then(() => 'stood by until it was stopped', (error: unknown) => error)
  await clock.advance(60_000)
  stop.abort(new Error('SIGTERM'))
  expect(await outcome).toEqual(once ? expect.any(InputsTakenError) : 'stood by until it was stopped')
})
