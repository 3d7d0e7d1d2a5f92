import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import type { KafkaClient } from '../../src/kafka/client.ts'
import { PartitionReader } from '../../src/kafka/partition-reader.ts'
import { installKafka } from '../support/kafka-broker.ts'
import { freePort, isServing } from '../support/kafka-probe.ts'
import { describeOwnBroker } from '../support/kafka.ts'
import { clientOf, makeTopic, now, readTo, values, write } from './partition-reader-support.ts'

describeOwnBroker('leaders that move', () => {
  /** Two nodes, for a leader that moves; only the first has a vote. */
  const dir = mkdtempSync(join(tmpdir(), 'tap-kafka-two-'))
  const nodes: ChildProcess[] = []
  let client: KafkaClient

  beforeAll(async () => {
    const lib = installKafka()
    const [controller, first, second] = [await freePort(), await freePort(), await freePort()]
    const startNode = async (id: number, port: number): Promise<void> => {
      const config = join(dir, `${id}.properties`)
      const lines = {
        'process.roles': id === 1 ? 'broker,controller' : 'broker',
        'node.id': id,
        'controller.quorum.voters': `1@127.0.0.1:${controller}`,
        listeners: `CLIENT://127.0.0.1:${port}${id === 1 ? `,CONTROLLER://127.0.0.1:${controller}` : ''}`,
        'advertised.listeners': `CLIENT://127.0.0.1:${port}`,
        'listener.security.protocol.map': 'CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT',
        'inter.broker.listener.name': 'CLIENT',
        'controller.listener.names': 'CONTROLLER',
        'log.dirs': join(dir, `data-${id}`),
        'auto.create.topics.enable': false,
      }
      writeFileSync(config, Object.entries(lines).map(([key, value]) => `${key}=${value}\n`).join(''))
      const java = ['-Xmx320m', '-XX:TieredStopAtLevel=1', '-cp', `${lib}/*`]
      const format = ['kafka.tools.StorageTool', 'format', '-t', 'dGFwLWNvbGxlY3Rvci10ZQ', '-c', config]
      await promisify(execFile)('java', [...java, ...format])
      // The shell ends the node with this process, whose end of the pipe closes.
      const script = 'exec 3<&0; java "$@" & pid=$!; (cat >/dev/null; kill -9 $pid) <&3 & wait $pid'
      nodes.push(spawn('bash', ['-c', script, 'node', ...java, 'kafka.Kafka', config], { stdio: ['pipe', 'ignore', 'ignore'] }))
    }
    await Promise.all([startNode(1, first), startNode(2, second)])
    const waiting = { timeout: 60_000, interval: 200 }
    await vi.waitFor(async () => expect([await isServing(first), await isServing(second)]).toEqual([true, true]), waiting)
    client = clientOf([`127.0.0.1:${first}`])
    const admin = client.admin()
    await admin.connect()
    await vi.waitFor(async () => expect((await admin.describeCluster()).brokers).toHaveLength(2), waiting)
    await admin.disconnect()
  }, 120_000)

  afterAll(async () => {
    const ended = nodes.map((node) => new Promise((resolve) => node.once('close', resolve)))
    for (const node of nodes) node.stdin?.end()
    await Promise.all(ended)
    rmSync(dir, { recursive: true, force: true })
  })

  test('reading goes on over a leader that moves, without an error', { timeout: 90_000 }, async () => {
    const topic = await makeTopic(client)
    await write(client, topic, [{ value: 'before' }])
    const reader = new PartitionReader(client, topic)
    const admin = client.admin()
    await admin.connect()
    try {
      const leader = async (): Promise<number | undefined> =>
        (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0]?.partitions[0]?.leader
      for (const round of [1, 2]) {
        expect(values((await readTo(reader, round)).records)).toHaveLength(round)
        const from = await leader()
        const to = from === 1 ? 2 : 1
        const waiting = reader.fetch(new Map([[0, round]]), { ...now, maxWaitMs: 60_000, minBytes: 1 })
        await admin.alterPartitionReassignments({ topics: [{ topic, partitionAssignment: [{ partition: 0, replicas: [to] }] }] })
        await expect.poll(leader, { timeout: 30_000, interval: 100 }).toBe(to)
        await write(client, topic, [{ value: `after ${round}` }])
        // The old leader ends the poll that it holds, and the reader asks the new one.
        expect(values((await waiting).flatMap(({ records }) => records))).toEqual([`after ${round}`])
        expect([...(await reader.offsets('latest')).values()]).toEqual([round + 1])
      }
      expect(values((await readTo(reader, 3)).records)).toEqual(['before', 'after 1', 'after 2'])
    } finally {
      await admin.disconnect()
      await reader.close()
    }
  })

  test('the partitions of several leaders in one call', { timeout: 60_000 }, async () => {
    const topic = await makeTopic(client, 4)
    await write(client, topic, [0, 1, 2, 3].map((partition) => ({ partition, value: String(partition) })))
    const reader = new PartitionReader(client, topic)
    try {
      const pages = await reader.fetch(new Map([0, 1, 2, 3].map((partition) => [partition, 0])), now)
      expect(pages.flatMap(({ records }) => values(records)).sort()).toEqual(['0', '1', '2', '3'])
    } finally {
      await reader.close()
    }
  })
})
