import { createKafkaClient } from '../../kafka/client.ts'
import { checkNewTopics } from '../../kafka/topics.ts'
import type { KafkaBufferOptions } from './kafka.ts'
import { Topics, topicSpecs } from './topics.ts'

/** Whether a first start could make its topics; nothing is written. Throws RetryableError while no broker answers, FatalError where it could not. */
export async function checkFirstStart(options: Pick<KafkaBufferOptions, 'connection' | 'log' | 'prefix' | 'partitions' | 'replicationFactor' | 'retentionMs'>): Promise<void> {
  await checkNewTopics(createKafkaClient(options.connection, options.log), topicSpecs(new Topics(options.prefix), options))
}
