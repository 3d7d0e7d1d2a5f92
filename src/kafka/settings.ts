import kafkajs from 'kafkajs'
import type { KafkaClient } from './client.ts'
import { explainKafkaError } from './errors.ts'

/** What holds now of these settings of a topic. Throws RetryableError while the brokers are away, FatalError where they may not be asked. */
export function topicSettings(client: KafkaClient, topic: string, keys: readonly string[]): Promise<ReadonlyMap<string, string>> {
  return settings(client, `the settings of ${topic}`, async () => ({ type: kafkajs.ConfigResourceTypes.TOPIC, name: topic }), keys)
}

/** As `topicSettings`, of one of the brokers; they should all be alike. */
export function brokerSettings(client: KafkaClient, keys: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const first = async (admin: Admin): Promise<Resource> => {
    const { brokers } = await admin.describeCluster()
    return { type: kafkajs.ConfigResourceTypes.BROKER, name: String(brokers[0]?.nodeId ?? '') }
  }
  return settings(client, 'the settings of the brokers', first, keys)
}

type Admin = ReturnType<KafkaClient['admin']>
interface Resource {
  readonly type: kafkajs.ConfigResourceTypes
  readonly name: string
}

async function settings(
  client: KafkaClient,
  what: string,
  find: (admin: Admin) => Promise<Resource>,
  keys: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const admin = client.admin()
  try {
    await admin.connect()
    const { resources } = await admin.describeConfigs({ includeSynonyms: false, resources: [{ ...(await find(admin)), configNames: [...keys] }] })
    return new Map(resources.flatMap(({ configEntries }) => configEntries.map(({ configName, configValue }) => [configName, configValue] as const)))
  } catch (error) {
    throw explainKafkaError(error, `asking for ${what}`)
  } finally {
    await admin.disconnect().catch(() => undefined)
  }
}
