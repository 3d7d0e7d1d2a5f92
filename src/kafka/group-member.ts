import kafkajs from 'kafkajs'
import type { Logger } from 'pino'
import { Backoff } from '../pipeline/backoff.ts'
import type { Clock } from '../pipeline/clock.ts'
import { describeError } from '../pipeline/errors.ts'
import type { KafkaClient } from './client.ts'
import { explainKafkaError, GroupLostError, isRebalance } from './errors.ts'
import { assignPartitions, decodeClaim, encodeClaim, type Claim } from './group-assigner.ts'
import { HeldAssignment, type Assignment } from './group-assignment.ts'
import { GroupConnection } from './group-connection.ts'
import { fetchOffsets, isCoordinatorMoving, wireOffsets } from './group-offsets.ts'
import type { Broker, Cluster, GroupMemberMetadata } from './internals.ts'
import { joinGroup } from './join-request.ts'

export type { Assignment } from './group-assignment.ts'

export interface GroupTimeouts {
  /** A member that the broker has not heard of for so long is replaced. */
  readonly sessionTimeoutMs?: number
  /** The group waits so long for its members to join again; they take half of it at most to end what is in flight. */
  readonly rebalanceTimeoutMs?: number
}

export interface GroupMemberOptions extends GroupTimeouts {
  readonly groupId: string
  readonly topic: string
  readonly clock: Clock
  readonly log: Logger
}

const PROTOCOL = 'tap-sticky'
/** Of the member's metadata and the assignment; later versions have fields that kafkajs does not write. */
const PROTOCOL_VERSION = 0
/** A cluster needs 9 s to see that a broker is gone; its groups go on at another one then, and nobody is to have lost anything. */
const SESSION_TIMEOUT_MS = 15_000
const REBALANCE_TIMEOUT_MS = 60_000
/** A broker that is away hears of the leaving by the session's end. */
const LEAVE_MAX_MS = 2_000
const JOIN_RETRY_FIRST_MS = 50
const JOIN_RETRY_MAX_MS = 1_000

const { MemberMetadata, MemberAssignment } = kafkajs.AssignerProtocol

/**
 * A member of a consumer group that reads nothing itself. kafkajs's own member joins again the moment the group changes, in the middle of
 * a shipment; this one lets its holder prove and commit what is in flight first, so that nothing comes twice when a process is added.
 */
export class GroupMember {
  readonly #options: Required<GroupMemberOptions>
  readonly #connection: GroupConnection
  readonly #closing = new AbortController()
  #memberId = ''
  #claim: Claim = { generation: -1, partitions: [] }
  #held: HeldAssignment | null = null
  #joining: Promise<unknown> = Promise.resolve()
  #closed: Promise<void> | null = null

  constructor(client: KafkaClient, options: GroupMemberOptions) {
    this.#options = { sessionTimeoutMs: SESSION_TIMEOUT_MS, rebalanceTimeoutMs: REBALANCE_TIMEOUT_MS, ...options }
    this.#connection = new GroupConnection(client, options.groupId, options.topic)
  }

  /**
   * Gives back what is still held and waits until all others have joined. One call at a time; after one that was aborted the caller owes
   * another or `close`, or the group waits for this member until its session ends. Throws RetryableError while the broker is away,
   * FatalError for what a person must mend, or the signal's reason.
   */
  async join(signal: AbortSignal): Promise<Assignment> {
    const stop = AbortSignal.any([signal, this.#closing.signal])
    stop.throwIfAborted()
    await this.#held?.release()
    const joining = this.#joinUntil(stop)
    this.#joining = joining.catch(() => undefined)
    return joining
  }

  /**
   * Gives back what is still held and leaves the group, so that another takes over at once; may join again. Not while a `join` is under way.
   * Takes 2 s at most, and throws nothing.
   */
  async leave(): Promise<void> {
    await this.#held?.release()
    const { groupId, clock, log } = this.#options
    const memberId = this.#memberId
    this.#memberId = ''
    if (memberId === '') return
    const cancel = clock.after(LEAVE_MAX_MS, () => this.#connection.abandon())
    try {
      await this.#connection.run((broker) => broker.leaveGroup({ groupId, memberId }))
    } catch (error) {
      log.debug({ group: groupId }, `Leaving ${groupId}: ${describeError(error)}`)
    } finally {
      cancel()
    }
  }

  /** For good. As `leave`. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    this.#closing.abort(new Error(`the member of ${this.#options.groupId} is closed`))
    await this.#joining
    await this.leave()
    this.#connection.abandon()
  }

  async #joinUntil(stop: AbortSignal): Promise<Assignment> {
    const { groupId, clock, sessionTimeoutMs } = this.#options
    const begunAt = clock.monotonic()
    const backoff = new Backoff(JOIN_RETRY_FIRST_MS, JOIN_RETRY_MAX_MS)
    const abandon = (): void => this.#connection.abandon()
    stop.addEventListener('abort', abandon, { once: true })
    try {
      for (;;) {
        stop.throwIfAborted()
        try {
          return await this.#joinOnce()
        } catch (error) {
          stop.throwIfAborted()
          const explained = explainKafkaError(error, `joining the group ${groupId}`)
          const isGroup = explained instanceof GroupLostError
          if (isGroup && !isRebalance(error)) this.#memberId = ''
          const isMoving = isCoordinatorMoving(error) && clock.monotonic() - begunAt < sessionTimeoutMs
          if (!isGroup && !isMoving) throw explained
        }
        await clock.sleep(backoff.next(), stop)
      }
    } finally {
      stop.removeEventListener('abort', abandon)
    }
  }

  async #joinOnce(): Promise<Assignment> {
    const { groupId, topic, clock, log, sessionTimeoutMs, rebalanceTimeoutMs } = this.#options
    const { partitions, generation, memberId } = await this.#connection.run((broker, cluster) => this.#joinAndSync(broker, cluster))
    this.#claim = { generation, partitions }
    log.debug({ group: groupId, partitions, generation }, `Joined ${groupId}`)
    const member = { groupId, groupGenerationId: generation, memberId }
    this.#held = new HeldAssignment({
      groupId,
      partitions,
      generation,
      clock,
      sessionTimeoutMs,
      endingMs: rebalanceTimeoutMs / 2,
      beat: () => this.#connection.run((broker) => broker.heartbeat(member)),
      fetch: () => this.#connection.run((broker) => fetchOffsets(broker, groupId, topic, partitions)),
      commit: (offsets) =>
        this.#connection.run((broker) => broker.offsetCommit({ ...member, topics: [{ topic, partitions: wireOffsets(offsets) }] })),
      onLost: (reason) => log.warn({ code: 'KafkaGroupLost', group: groupId }, `No longer a member of ${groupId}: ${reason}`),
    })
    return this.#held
  }

  async #joinAndSync(broker: Broker, cluster: Cluster): Promise<Claim & { readonly memberId: string }> {
    const { groupId, topic, sessionTimeoutMs, rebalanceTimeoutMs } = this.#options
    const metadata = MemberMetadata.encode({ version: PROTOCOL_VERSION, topics: [topic], userData: encodeClaim(this.#claim) })
    const request = {
      groupId,
      sessionTimeout: sessionTimeoutMs,
      rebalanceTimeout: rebalanceTimeoutMs,
      memberId: this.#memberId,
      groupProtocols: [{ name: PROTOCOL, metadata }],
    }
    const { memberId, leaderId, generationId, members } = await joinGroup(broker, request, (given) => {
      this.#memberId = given
    })
    this.#memberId = memberId
    const groupAssignment = leaderId === memberId ? await this.#assign(cluster, members) : []
    const { memberAssignment } = await broker.syncGroup({ groupId, generationId, memberId, groupAssignment })
    const decoded = MemberAssignment.decode(memberAssignment)
    return { partitions: decoded?.assignment[topic] ?? [], generation: generationId, memberId }
  }

  /** As the group's leader; also partitions that were added to the topic since. */
  async #assign(cluster: Cluster, members: readonly GroupMemberMetadata[]): Promise<{ memberId: string; memberAssignment: Buffer }[]> {
    const { topic } = this.#options
    await cluster.refreshMetadata()
    const partitions = cluster.findTopicPartitionMetadata(topic).map(({ partitionId }) => partitionId)
    const claims = new Map(
      members.map(({ memberId, memberMetadata }) => [memberId, decodeClaim(MemberMetadata.decode(memberMetadata)?.userData ?? null)]),
    )
    return [...assignPartitions(partitions, claims)].map(([memberId, share]) => ({
      memberId,
      memberAssignment: MemberAssignment.encode({ version: PROTOCOL_VERSION, assignment: { [topic]: share }, userData: Buffer.alloc(0) }),
    }))
  }
}
