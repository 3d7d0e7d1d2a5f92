import { expect, test } from 'vitest'
import { numbered } from '../../contract/buffer-units.ts'
import { describeKafka } from '../../support/kafka.ts'
import { Destination, makeTopics, startProcess } from './reading.ts'

function at(offset: number, metadata = ''): { offset: number; metadata: string } {
  return { offset, metadata }
}

describeKafka('a position of an output', () => {
  test('of an output that is added later is now or the oldest event, in every partition; one that was off goes on where it was', async () => {
    const topics = await makeTopics({ partitions: 2 })
    const [first, later, old] = [new Destination(), new Destination(), new Destination()]
    await topics.append(numbered(0, 500))
    const alone = await startProcess(topics, [{ name: 'first', sink: first.sink('1'), startFrom: 'now' }])
    await first.until(() => first.events.length === 500)
    await alone.stop()
    const all = [
      { name: 'first', sink: first.sink('2') }, { name: 'later', sink: later.sink('2'), startFrom: 'now' } as const, { name: 'old', sink: old.sink('2') },
    ]
    const three = await startProcess(topics, all)
    await old.until(() => old.events.length === 500)
    await topics.append(numbered(500, 500))
    await later.until(() => later.events.length === 500)
    await old.until(() => old.events.length === 1_000)
    await three.stop()
    const two = await startProcess(topics, all.slice(0, 2))
    await topics.append(numbered(1_000, 500))
    await later.until(() => later.events.length === 1_000)
    expect((await two.buffer.snapshot()).outputs.find(({ name }) => name === 'old')).toMatchObject({ open: false, backlogEvents: expect.any(Number) as number })
    await two.stop()
    const again = await startProcess(topics, all)
    await old.until(() => old.events.length === 1_500)
    await again.stop()
    expect([...first.events].sort()).toEqual(numbered(0, 1_500).sort())
    expect([...later.events].sort()).toEqual(numbered(500, 1_000).sort())
    expect([...old.events].sort()).toEqual(numbered(0, 1_500).sort())
  })

  test('that the broker has forgotten is an error of that output alone, and it goes on where a person says', { timeout: 60_000 }, async () => {
    const topics = await makeTopics({ partitions: 2 })
    await topics.append(numbered(0, 300))
    const [a, b] = [new Destination(), new Destination()]
    const outputs = [{ name: 'a', sink: a.sink('1') }, { name: 'b', sink: b.sink('1') }]
    const first = await startProcess(topics, outputs)
    await Promise.all([a, b].map((destination) => destination.until(() => destination.events.length >= 300)))
    await first.stop()
    await topics.forget('a')

    const second = await startProcess(topics, outputs)
    await topics.append(numbered(300, 100))
    await b.until(() => b.events.length === 400)
    const told = await second.logged('has forgotten how far output a was')
    expect(told).toMatchObject({ level: 50, output: 'a', msg: expect.stringContaining(`--group ${topics.prefix}.a --topic ${topics.prefix}.events --to-earliest`) as string })
    expect(second.conditions.list()).toContainEqual(expect.objectContaining({ part: 'a/buffer', reason: expect.stringContaining('forgotten') as string }))
    expect([a.events.length, b.doubled]).toEqual([300, []])

    const ends = await topics.ends()
    await topics.resetOffsets('a', new Map([...ends].map(([partition]) => [partition, at(0)])))
    await a.until(() => a.events.length === 700)
    expect(new Set(a.events).size).toBe(400)
    await second.stop()
  })

  test('below the start of the log is a gap: told, added up, and passed over', async () => {
    const topics = await makeTopics({ partitions: 2 })
    await topics.append(numbered(0, 1_000))
    const destination = new Destination()
    const outputs = [{ name: 'a', sink: destination.sink('1') }]
    const first = await startProcess(topics, outputs)
    await destination.until(() => destination.events.length >= 1_000)
    await first.stop()
    const before = await topics.ends()
    const { provenAt = Infinity } = (await (await topics.open()).snapshot()).outputs[0] ?? {}
    await topics.append(numbered(1_000, 1_000))
    const ends = await topics.ends()
    const deleted = new Map([...before].map(([partition, end]) => [partition, Math.floor((end + (ends.get(partition) ?? 0)) / 2)]))
    await topics.deleteBefore(deleted)

    destination.prove = () => Promise.reject(new Error('not yet'))
    const second = await startProcess(topics, outputs)
    const missed = [...deleted].reduce((sum, [partition, start]) => sum + start - (before.get(partition) ?? 0), 0)
    expect(await second.logged('are gone from the buffer')).toMatchObject({ level: 50, output: 'a', missedEvents: missed })
    await second.logged('not yet')
    expect((await second.buffer.snapshot()).outputs).toMatchObject([{ provenAt }])
    destination.prove = async () => undefined
    // Every record there is an event: those of a transaction end with its marker, at the log's end.
    await destination.until(() => destination.events.length === 2_000 - missed)
    expect(destination.doubled).toEqual([])
    expect((await second.buffer.snapshot()).outputs).toMatchObject([{ missedEvents: missed, backlogEvents: expect.any(Number) as number }])
    await second.stop()
    const third = await startProcess(topics, outputs)
    await third.logged('is reachable')
    const { outputs: shown } = await third.buffer.snapshot()
    expect(shown).toMatchObject([{ missedEvents: missed }])
    expect(shown[0]?.provenAt).toBeGreaterThan(provenAt)
    expect(third.lines.filter(({ msg }) => msg.includes('are gone from the buffer'))).toEqual([])
  })

  test('that retention passes while its receiver is away is a gap too, and no end', async () => {
    const topics = await makeTopics({ partitions: 2 })
    await topics.append(numbered(0, 1_000))
    const destination = new Destination()
    const failed = Promise.withResolvers<undefined>()
    destination.prove = async () => {
      failed.resolve(undefined)
      throw new Error('the receiver is away')
    }
    const process = await startProcess(topics, [{ name: 'a', sink: destination.sink('1') }])
    await failed.promise
    const ends = await topics.ends()
    const deleted = new Map([...ends].map(([partition, end]) => [partition, end - 100]))
    await topics.deleteBefore(deleted)
    destination.prove = async () => undefined
    const missed = [...deleted.values()].reduce((sum, start) => sum + start, 0)
    expect(await process.logged('are gone from the buffer')).toMatchObject({ missedEvents: missed })
    await topics.append(numbered(1_000, 10))
    await destination.until(() => destination.events.includes('{"n":1009}'))
    expect((await process.buffer.snapshot()).outputs).toMatchObject([{ missedEvents: missed, backlogEvents: expect.any(Number) as number }])
    await process.stop()
    expect(destination.doubled).toEqual([])
  })

  test('behind the end of the log is told, and what came since the last proof is sent: nothing that is there is passed over', async () => {
    const topics = await makeTopics()
    await topics.append(numbered(0, 10))
    const destination = new Destination()
    const outputs = [{ name: 'a', sink: destination.sink('1') }]
    const first = await startProcess(topics, outputs)
    await destination.until(() => destination.events.length === 10)
    await first.stop()
    // As after the election of a leader that had less.
    await topics.resetOffsets('a', new Map([[0, at(5_000, JSON.stringify({ provenAt: Date.now() }))]]))
    const second = await startProcess(topics, outputs)
    expect(await second.logged('the brokers have lost events')).toMatchObject({ level: 50, output: 'a', offset: 5_000 })
    await destination.until(() => destination.events.length === 20)
    await topics.append(numbered(10, 1))
    await destination.until(() => destination.events.includes('{"n":10}'))
    await second.stop()
    const third = await startProcess(topics, outputs)
    await topics.append(numbered(11, 1))
    await destination.until(() => destination.events.includes('{"n":11}'))
    await third.stop()
    expect(destination.events).toHaveLength(22)
  })
})
