import type { KafkaClient } from './client.ts'
import { explainKafkaError } from './errors.ts'

/**
 * Has the broker forget what a partition holds below an offset. Throws RetryableError, or FatalError (also where the user may not).
 * kafkajs's admin does not know the leader of a topic that it was not asked about before.
 */
export async function deleteRecordsBelow(client: KafkaClient, topic: string, partition: number, offset: number): Promise<void> {
  const cluster = client.cluster()
  try {
    await cluster.connect()
    await cluster.addTargetTopic(topic)
    await cluster.refreshMetadataIfNecessary()
    const metadata = cluster.findTopicPartitionMetadata(topic).find(({ partitionId }) => partitionId === partition)
    const broker = await cluster.findBroker({ nodeId: metadata?.leader ?? -1 })
    await broker.deleteRecords({ topics: [{ topic, partitions: [{ partition, offset: String(offset) }] }] })
  } catch (error) {
    throw explainKafkaError(error, `deleting what was removed from ${topic}`)
  } finally {
    await cluster.disconnect().catch(() => undefined)
  }
}
