import { expect, test } from 'vitest'
import { numbered } from '../../contract/buffer-units.ts'
import { GroupConnection } from '../../../src/kafka/group-connection.ts'
import { STANDBY } from '../../../src/pipeline/supervisor.ts'
import { describeKafka } from '../../support/kafka.ts'
import { Destination, makeTopics, startProcess, type Process, type Topics } from './reading.ts'

/** The names of those that have proven something. */
function deliverers({ delivered }: Destination): string[] {
  return [...new Set(delivered.map(({ by }) => by))].sort()
}

/** So many chunks that every one of a few processes gets some; each is a shipment. */
const EVENTS = 4_000

describeKafka('processes that share the events of an output', () => {
  test.each([1, 2, 4])('%i of them: each event once, and each process delivers some', async (count) => {
    const topics = await makeTopics({ partitions: 8 })
    await topics.append(numbered(0, EVENTS))
    const destination = new Destination()
    const names = Array.from({ length: count }, (_, index) => `p${index}`)
    // Nothing before all have a share, or the first would deliver all.
    destination.prove = () => Promise.reject(new Error('not yet'))
    const processes = await Promise.all(names.map((name) => startProcess(topics, [{ name: 'a', sink: destination.sink(name) }])))
    await sharesOf(processes, 8)
    destination.prove = async () => undefined
    await destination.until(() => destination.events.length >= EVENTS)
    await Promise.all(processes.map((process) => process.stop()))
    expect([...destination.events].sort()).toEqual(numbered(0, EVENTS).sort())
    expect(deliverers(destination)).toEqual(names)
  })

  test('more of them than partitions: those without stand by, and take over from one that leaves', async () => {
    const topics = await makeTopics({ partitions: 2 })
    await topics.append(numbered(0, 400))
    const destination = new Destination()
    const names = ['p0', 'p1', 'p2']
    const processes = await Promise.all(names.map((name) => startProcess(topics, [{ name: 'a', sink: destination.sink(name) }])))
    await sharesOf(processes, 2)
    await destination.until(() => destination.events.length >= 400)
    const idle = processes.findIndex((process) => partitionsOf(process).length === 0)
    expect(processes[idle]?.conditions.list().filter(({ part }) => part !== STANDBY)).toEqual([])
    await Promise.all(processes.filter((_, index) => index !== idle).map((process) => process.stop()))
    await topics.append(numbered(400, 200))
    await destination.until(() => destination.events.length >= 600)
    await processes[idle]?.stop()
    expect([...destination.events].sort()).toEqual(numbered(0, 600).sort())
    expect(deliverers(destination)).toContain(names[idle])
  })

  test('that come and go while shipments are in flight deliver nothing twice', { timeout: 60_000 }, async () => {
    const topics = await makeTopics({ partitions: 8 })
    await topics.append(numbered(0, EVENTS))
    const destination = new Destination()
    // Every shipment takes longer than a heartbeat: some are always in flight when the group changes.
    destination.prove = (_events, { signal }) => pause(300, signal)
    const first = await startProcess(topics, [{ name: 'a', sink: destination.sink('first') }])
    await destination.until(() => destination.events.length > 0)
    const second = await startProcess(topics, [{ name: 'a', sink: destination.sink('second') }])
    await destination.until(() => deliverers(destination).includes('second'))
    await second.stop()
    const before = destination.events.length
    const third = await startProcess(topics, [{ name: 'a', sink: destination.sink('third') }])
    await destination.until(() => deliverers(destination).includes('third'))
    await first.stop()
    destination.prove = async () => undefined
    await destination.until(() => destination.events.length >= EVENTS)
    await third.stop()
    expect(before).toBeLessThan(EVENTS)
    expect([...destination.events].sort()).toEqual(numbered(0, EVENTS).sort())
    // Nor was anything begun and given up.
    expect(destination.written).toHaveLength(EVENTS)
  })

  test('a shipment that lasts longer than its session is no reason to lose the share', async () => {
    const topics = await makeTopics()
    await topics.append(numbered(0, 100))
    const destination = new Destination()
    destination.prove = (_events, { signal }) => pause(2_500, signal)
    const process = await startProcess(topics, [{ name: 'a', sink: destination.sink('1') }], { groupTimeouts: { sessionTimeoutMs: 1_000 } })
    await destination.until(() => destination.events.length >= 100)
    await process.stop()
    expect(generations(process)).toHaveLength(1)
    expect(process.lines.filter(({ msg }) => msg.includes('No longer a member'))).toEqual([])
    // It is committed as well.
    destination.prove = async () => undefined
    await topics.append(numbered(100, 1))
    const next = await startProcess(topics, [{ name: 'a', sink: destination.sink('2') }])
    await destination.until(() => destination.events.includes('{"n":100}'))
    await next.stop()
    expect(destination.written).toHaveLength(101)
  })

  test('a shipment that lasts longer than the group waits is given up; all of it comes again, and nothing of it is committed', async () => {
    const topics = await makeTopics({ partitions: 2 })
    await topics.append(numbered(0, 1_000))
    const destination = new Destination()
    const timeouts = { groupTimeouts: { sessionTimeoutMs: 2_000, rebalanceTimeoutMs: 2_000 } }
    const begun = Promise.withResolvers<undefined>()
    let gaveUp = 0
    destination.prove = async (_events, { signal }) => {
      begun.resolve(undefined)
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
      gaveUp += 1
      signal.throwIfAborted()
    }
    const slow = await startProcess(topics, [{ name: 'a', sink: destination.sink('slow') }], timeouts)
    await begun.promise
    const other = new Destination()
    const quick = await startProcess(topics, [{ name: 'a', sink: other.sink('quick') }], timeouts)
    await slow.logged('what was in flight took too long')
    destination.prove = async () => undefined
    await until(() => destination.events.length + other.events.length >= 1_000, [destination, other])
    await Promise.all([slow.stop(), quick.stop()])
    expect(gaveUp).toBeGreaterThan(0)
    expect([...destination.events, ...other.events].sort()).toEqual(numbered(0, 1_000).sort())
  })

  test('one that the coordinator has removed gives up what is in flight, and joins again', async () => {
    const topics = await makeTopics({ partitions: 2 })
    await topics.append(numbered(0, 200))
    const destination = new Destination()
    const begun = Promise.withResolvers<undefined>()
    const gaveUp = Promise.withResolvers<undefined>()
    destination.prove = async (_events, { signal }) => {
      begun.resolve(undefined)
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
      gaveUp.resolve(undefined)
      signal.throwIfAborted()
    }
    const process = await startProcess(topics, [{ name: 'a', sink: destination.sink('1') }])
    await begun.promise
    await removeMembers(topics, 'a')
    await gaveUp.promise
    await process.logged(`No longer a member of ${topics.prefix}.a: the group has gone on without it`)
    destination.prove = async () => undefined
    await destination.until(() => destination.events.length >= 200)
    await process.stop()
    expect([...destination.events].sort()).toEqual(numbered(0, 200).sort())
    expect(generations(process).length).toBeGreaterThan(1)
  })

  test('inputs that are given back are another\'s at once, though their owner has not ended', async () => {
    const topics = await makeTopics({ groupTimeouts: { sessionTimeoutMs: 25_000 } })
    const [first, second] = [await topics.open(), await topics.open()]
    await (await first.ownInputs(AbortSignal.timeout(10_000))).release()
    await (await second.ownInputs(AbortSignal.timeout(10_000))).release()
    await (await first.ownInputs(AbortSignal.timeout(10_000))).release()
  })

  test('an output whose receiver takes nothing holds up no other', async () => {
    const topics = await makeTopics({ partitions: 2 })
    await topics.append(numbered(0, 1_000))
    const [dead, well] = [new Destination(), new Destination()]
    const held = Promise.withResolvers<undefined>()
    dead.prove = () => held.promise
    const process = await startProcess(topics, [{ name: 'dead', sink: dead.sink('1') }, { name: 'well', sink: well.sink('1') }])
    await topics.append(numbered(1_000, 1_000))
    await well.until(() => well.events.length >= 2_000)
    const { outputs } = await process.buffer.snapshot()
    expect(outputs.find(({ name }) => name === 'dead')?.backlogEvents).toBeGreaterThanOrEqual(2_000)
    expect([dead.events.length, well.doubled]).toEqual([0, []])
    held.resolve(undefined)
  })
})

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener('abort', () => {
      clearTimeout(timer)
      reject(new Error('given up'))
    })
  })
}

async function until(condition: () => boolean, destinations: readonly Destination[]): Promise<void> {
  while (!condition()) await Promise.race(destinations.map((destination) => destination.changed()))
}

/** As the debug log tells each joining of the output's group. */
function joined({ lines }: Process): { readonly generation: number; readonly partitions: readonly number[] }[] {
  return lines.flatMap(({ msg, generation, partitions }) =>
    msg.startsWith('Joined ') && msg.endsWith('.a') && typeof generation === 'number' && Array.isArray(partitions) ? [{ generation, partitions: partitions.map(Number) }] : [],
  )
}

function generations(process: Process): number[] {
  return joined(process).map(({ generation }) => generation)
}

function partitionsOf(process: Process): readonly number[] {
  return joined(process).at(-1)?.partitions ?? []
}

/** Resolves once all are in one generation of the group, and all partitions are dealt. */
async function sharesOf(processes: readonly Process[], partitions: number): Promise<void> {
  for (;;) {
    const last = processes.flatMap((process) => joined(process).slice(-1))
    const isOne = new Set(last.map(({ generation }) => generation)).size === 1
    if (isOne && last.length === processes.length && new Set(last.flatMap(({ partitions: share }) => share)).size === partitions) return
    await Promise.race(processes.map((process) => process.nextLine()))
  }
}

/** What a coordinator does with members that it has not heard of. */
async function removeMembers({ client, prefix }: Topics, output: string): Promise<void> {
  const groupId = `${prefix}.${output}`
  const admin = client.admin()
  const connection = new GroupConnection(client, groupId, `${prefix}.events`)
  try {
    await admin.connect()
    const { groups } = await admin.describeGroups([groupId])
    for (const { memberId } of groups[0]?.members ?? []) await connection.run((coordinator) => coordinator.leaveGroup({ groupId, memberId }))
  } finally {
    await admin.disconnect()
    connection.abandon()
  }
}
