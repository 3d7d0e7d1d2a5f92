import { expect, test, vi } from 'vitest'
import { BufferLook } from '../../src/commands/look.ts'
import type { BufferSnapshot, EventBuffer } from '../../src/pipeline/buffer.ts'
import { openBuffer, temporaryFolder } from '../pipeline/support.ts'

/** A buffer of which each look takes until it is answered. */
async function slowBuffer() {
  const buffer = await openBuffer(await temporaryFolder())
  const answers: PromiseWithResolvers<BufferSnapshot>[] = []
  const slow: EventBuffer = Object.assign(Object.create(buffer) as EventBuffer, {
    snapshot: () => {
      const answer = Promise.withResolvers<BufferSnapshot>()
      answers.push(answer)
      return answer.promise
    },
  })
  return { slow, answers, snapshot: await buffer.snapshot() }
}

test('however many ask at once, and shortly after one another, the buffer is asked once', async () => {
  const { slow, answers, snapshot } = await slowBuffer()
  const look = new BufferLook(() => slow)
  const three = [look.take(), look.take(), look.take()]
  answers[0]?.resolve(snapshot)
  expect(await Promise.all(three)).toEqual([snapshot, snapshot, snapshot])
  expect(await look.take()).toBe(snapshot)
  expect(answers).toHaveLength(1)
})

test('nobody waits long, the buffer is not asked again while it still owes an answer, and the last answer is kept', async () => {
  vi.useFakeTimers()
  try {
    const { slow, answers, snapshot } = await slowBuffer()
    const look = new BufferLook(() => slow)
    expect(look.latest).toBeNull()
    for (let asked = 0; asked < 3; asked += 1) {
      const taken = look.take()
      await vi.advanceTimersByTimeAsync(2_001)
      expect(await taken).toBeNull()
    }
    expect(answers).toHaveLength(1)
    answers[0]?.resolve(snapshot)
    await vi.advanceTimersByTimeAsync(0)
    expect(look.latest).toBe(snapshot)
    await vi.advanceTimersByTimeAsync(1_001)
    const failing = look.take()
    answers[1]?.reject(new Error('no broker answers'))
    expect(await failing).toBeNull()
    expect(look.latest).toBe(snapshot)
  } finally {
    vi.useRealTimers()
  }
})

test('a buffer that is not open is not asked', async () => {
  const look = new BufferLook(() => null)
  expect([look.isOpen, await look.take(), look.latest]).toEqual([false, null, null])
})
