// Broadcasts: one gossipsub topic per cluster. Messages are signed by their author. The rate of each forwarding peer is limited
// before the signature is verified, and the rate of each author after it, so that neither can slow the members down by
// flooding.

import { type GossipSub, type PublishResult, TopicValidatorResult } from '@libp2p/gossipsub'
import type { PeerId } from '@libp2p/interface'
import { LIMITS, type MemberId } from '../core/state.ts'
import { floodGuard } from './flood-guard.ts'

export interface ChannelEvents {
  message(from: MemberId, data: Uint8Array): void
  dropped(messages: number): void
  /** Whether received messages are to be forwarded (forwarding.ts). */
  forward(): boolean
  /** This member keeps exceeding its rate. */
  flood(id: MemberId): void
}

export interface Channel {
  /**
   * Sends to all connected peers (`toAll`: one hop, one copy each) or into the mesh, which forwards it. Never rejects.
   * @returns the peers that gossip reaches; send to others directly
   */
  publish(data: Uint8Array, toAll: boolean): Promise<ReadonlySet<MemberId>>
  forget(id: MemberId): void
}

/** Limits of one forwarding peer, for messages of all authors: it may forward those of a hundred members. */
const BY_SOURCE = {
  messagesPerSecond: 2_000,
  bytesPerSecond: 8 * 1024 * 1024,
  burstMs: 2_000,
  strikes: 4_000,
  strikesMs: 10_000,
}
const BY_AUTHOR = { messagesPerSecond: 100, bytesPerSecond: 2 * 1024 * 1024, burstMs: 3_000, strikes: 1_000, strikesMs: 10_000 }

/** The part of a received RPC used here. */
interface Rpc {
  messages: { data?: Uint8Array }[]
}

/** Methods missing from gossipsub's types. */
interface Inner {
  publish(topic: string, data: Uint8Array, options: { floodPublish: boolean }): Promise<PublishResult>
  handleReceivedRpc(from: PeerId, rpc: Rpc): Promise<void>
  /** Forwards an accepted message, or drops it. */
  reportMessageValidationResult(id: string, source: string, result: TopicValidatorResult): void
}

export function gossipChannel(pubsub: GossipSub, self: MemberId, topic: string, events: ChannelEvents): Channel {
  const sources = floodGuard(BY_SOURCE)
  const authors = floodGuard(BY_AUTHOR)

  // Gossipsub supports overriding this method. It is the only hook that runs before signatures are verified.
  const inner = pubsub as unknown as Inner
  const handle = inner.handleReceivedRpc.bind(pubsub)
  inner.handleReceivedRpc = async (from, rpc) => {
    const id = from.toString()
    let bytes = 0
    for (const message of rpc.messages) bytes += message.data?.length ?? 0
    const verdict = sources.judge(id, Math.max(1, rpc.messages.length), bytes, performance.now())
    if (verdict !== 'accept') {
      events.dropped(rpc.messages.length)
      if (verdict === 'disconnect') events.flood(id)
      return
    }
    const fitting = rpc.messages.filter(message => (message.data?.length ?? 0) <= LIMITS.message)
    if (fitting.length < rpc.messages.length) {
      events.dropped(rpc.messages.length - fitting.length)
      rpc.messages = fitting
    }
    await handle(from, rpc)
  }

  pubsub.topicValidators.set(topic, (_source, message) => {
    if (message.type !== 'signed') return TopicValidatorResult.Reject
    const author = message.from.toString()
    if (author === self) return TopicValidatorResult.Ignore
    const verdict = authors.judge(author, 1, message.data.length, performance.now())
    if (verdict === 'accept') return TopicValidatorResult.Accept
    events.dropped(1)
    if (verdict === 'disconnect') events.flood(author)
    return TopicValidatorResult.Ignore
  })

  pubsub.addEventListener('gossipsub:message', ({ detail: { msg, msgId, propagationSource } }) => {
    const result = events.forward() ? TopicValidatorResult.Accept : TopicValidatorResult.Ignore
    inner.reportMessageValidationResult(msgId, propagationSource.toString(), result)
    if (msg.type === 'signed' && msg.topic === topic) events.message(msg.from.toString(), msg.data)
  })

  return {
    async publish(data, toAll) {
      try {
        const { recipients } = await inner.publish(topic, data, { floodPublish: toAll })
        return new Set((toAll ? recipients : pubsub.getSubscribers(topic)).map(String))
      } catch {
        return new Set()
      }
    },
    forget(id) {
      sources.forget(id)
      authors.forget(id)
    },
  }
}
