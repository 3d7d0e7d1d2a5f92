import kafkajs from 'kafkajs'
import type { Admin } from 'kafkajs'
import { Backoff } from '../pipeline/backoff.ts'
import { systemClock } from '../pipeline/clock.ts'
import { FatalError, RetryableError } from '../pipeline/errors.ts'
import type { KafkaClient } from './client.ts'
import { explainKafkaError, TopicsMissingError } from './errors.ts'

export interface TopicSpec {
  readonly name: string
  readonly partitions: number
  /** Null: the broker's default. */
  readonly replicationFactor: number | null
  readonly config: Readonly<Record<string, string>>
  /** Settings without which an existing topic must not be used. */
  readonly mustMatch: readonly string[]
  /** An existing topic must have exactly as many partitions. */
  readonly fixedPartitions?: boolean
}

const LOOK_AGAIN_FIRST_MS = 50
const LOOK_AGAIN_MAX_MS = 500
const LEADERS_WITHIN_MS = 30_000

/**
 * Makes the topics that are missing and gives their names, or with `create: false` says which; an existing one that would lose what it is to keep is an error.
 * Throws FatalError for what only a person can help, RetryableError while the brokers are away.
 */
export async function ensureTopics(client: KafkaClient, specs: readonly TopicSpec[], { create }: { readonly create: boolean }): Promise<readonly string[]> {
  const admin = client.admin()
  try {
    await admin.connect()
    const existing = new Set(await admin.listTopics())
    const missing = specs.filter(({ name }) => !existing.has(name))
    if (missing.length > 0 && !create)
      throw new TopicsMissingError(missing.map(({ name }) => name), missing.length === specs.length)
    if (missing.length > 0) {
      await createTopics(admin, missing)
      await waitForLeaders(admin, missing)
    }
    await checkTopics(admin, specs.filter(({ name }) => existing.has(name)))
    return missing.map(({ name }) => name)
  } catch (error) {
    throw explainKafkaError(error, 'checking the topics')
  } finally {
    await admin.disconnect().catch(() => undefined)
  }
}

/**
 * Asks the brokers whether they would make those that are missing (rights, replication factor, their policies), and makes none. Throws as
 * `ensureTopics` does.
 */
export async function checkNewTopics(client: KafkaClient, specs: readonly TopicSpec[]): Promise<void> {
  const admin = client.admin()
  try {
    await admin.connect()
    const existing = new Set(await admin.listTopics())
    await createTopics(admin, specs.filter(({ name }) => !existing.has(name)), { validateOnly: true })
  } catch (error) {
    throw explainKafkaError(error, 'asking for new topics')
  } finally {
    await admin.disconnect().catch(() => undefined)
  }
}

async function createTopics(admin: Admin, specs: readonly TopicSpec[], { validateOnly = false } = {}): Promise<void> {
  await admin.createTopics({
    waitForLeaders: false,
    validateOnly,
    topics: specs.map(({ name, partitions, replicationFactor, config }) => ({
      topic: name,
      numPartitions: partitions,
      replicationFactor: replicationFactor ?? -1,
      configEntries: Object.entries(config).map(([key, value]) => ({ name: key, value })),
    })),
  })
}

/** A broker that is asked just after may not yet know the topics; kafkajs's own wait ends with that as an error. */
async function waitForLeaders(admin: Admin, specs: readonly TopicSpec[]): Promise<void> {
  const backoff = new Backoff(LOOK_AGAIN_FIRST_MS, LOOK_AGAIN_MAX_MS)
  const since = systemClock.monotonic()
  for (;;) {
    try {
      const { topics } = await admin.fetchTopicMetadata({ topics: specs.map(({ name }) => name) })
      if (topics.every(({ partitions }) => partitions.length > 0 && partitions.every(({ leader }) => leader >= 0))) return
    } catch (error) {
      if (!(explainKafkaError(error, 'waiting for new topics') instanceof RetryableError)) throw error
    }
    if (systemClock.monotonic() - since > LEADERS_WITHIN_MS)
      throw new RetryableError(`the new topics ${specs.map(({ name }) => name).join(', ')} have no leaders after ${LEADERS_WITHIN_MS / 1000} s`, { code: 'KafkaUnavailable' })
    await systemClock.sleep(backoff.next())
  }
}

async function checkTopics(admin: Admin, specs: readonly TopicSpec[]): Promise<void> {
  if (specs.length === 0) return
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: specs.map(({ name, mustMatch }) => ({ type: kafkajs.ConfigResourceTypes.TOPIC, name, configNames: [...mustMatch] })),
  })
  const { topics } = await admin.fetchTopicMetadata({ topics: specs.map(({ name }) => name) })
  for (const { name, mustMatch, config, partitions, fixedPartitions } of specs) {
    const entries = resources.find(({ resourceName }) => resourceName === name)?.configEntries ?? []
    for (const key of mustMatch) {
      const found = entries.find(({ configName }) => configName === key)?.configValue
      if (found !== undefined && found !== config[key])
        throw new FatalError(`the topic ${name} has ${key}=${found}, and it must be ${config[key] ?? ''}: ${changeCommand(name, key, config[key])}`, { code: 'KafkaTopicUnsuitable' })
    }
    const count = topics.find((topic) => topic.name === name)?.partitions.length
    if (fixedPartitions === true && count !== undefined && count !== partitions)
      throw new FatalError(`the topic ${name} has ${count} partitions, and it must have ${partitions}; use another topic_prefix`, { code: 'KafkaTopicUnsuitable' })
  }
}

function changeCommand(name: string, key: string, value = ''): string {
  return `kafka-configs.sh --bootstrap-server ... --alter --topic ${name} --add-config ${key}=${value}, or use another topic_prefix`
}
