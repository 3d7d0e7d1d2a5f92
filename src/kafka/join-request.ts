import type { Broker, JoinRequest, JoinResponse } from './internals.ts'

/**
 * Joins, and tells the member's id as soon as the broker has given it, which is long before the answer: the broker answers when all other
 * members have joined again, and who no longer wants to wait must leave by that id or the group waits for it.
 */
export function joinGroup(broker: Broker, request: JoinRequest, onMemberId: (memberId: string) => void): Promise<JoinResponse> {
  // kafkajs keeps the id to itself: it asks once without, is given one, and asks again. Each time it looks up how the request is written.
  const listening = Object.create(broker) as Broker // the same object, but for one member
  listening.lookupRequest = (apiKey, versions) => {
    const write = broker.lookupRequest(apiKey, versions)
    return (sent) => {
      if (sent.memberId !== '') onMemberId(sent.memberId)
      return write(sent)
    }
  }
  return listening.joinGroup(request)
}
