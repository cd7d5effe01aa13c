// The cluster network over libp2p; its contract is network.ts. Broadcasts use gossipsub; direct messages and bodies use streams
// of their own. Also dials and redials, and applies the limits that protect members from a misbehaving peer.

import type { Connection, PeerId, Stream } from '@libp2p/interface'
import type { MemberId } from '../core/state.ts'
import type { ClusterLog } from '../log.ts'
import { KeyedLogLimit } from '../rate-limit.ts'
import { BODY_PROTOCOL, bodyServer, pullBody } from './body-transfer.ts'
import { gossipChannel } from './channel.ts'
import { describeDialFailure } from './dial-failure.ts'
import { type DialOutcome, dialer } from './dialer.ts'
import { floodGuard } from './flood-guard.ts'
import { ForeignPeers, WRONG_SECRET } from './foreign-peers.ts'
import { createForwarding } from './forwarding.ts'
import { FULL_UP_TO, isNeighbour, membersToDial } from './mesh.ts'
import { inbox, MESSAGE_PROTOCOL } from './message-streams.ts'
import { fromMultiaddr, parseAddress, toMultiaddr } from './multiaddr.ts'
import type { Network, NetworkCounts, NetworkEvents } from './network.ts'
import { startNode } from './node.ts'
import { interfaceAddresses, isOwnAddress } from './own-addresses.ts'
import { closeConnection, type Peer, peerTable } from './peers.ts'
import { networkProtector } from './protector.ts'

export interface NetworkOptions {
  readonly listen: { readonly host: string; readonly port: number }
  /** At least one. The first is used towards others; all are accepted. */
  readonly secrets: readonly string[]
  /** Members of other clusters are refused, even with the same secret. */
  readonly cluster: string
  readonly events: NetworkEvents
  readonly log: ClusterLog
  /** Called when a peer that holds the secret was refused because it belongs to the cluster of this name. */
  readonly otherCluster?: (cluster: string) => void
}

const POLL_MS = 100
const DIAL_TIMEOUT_MS = 3_000
const OPEN_TIMEOUT_MS = 2_000
/** A connection without data for this time is dead: both sides ping every two seconds. */
const MAX_SILENT_SECONDS = 7
/** A peer that floods, or belongs to another cluster, is refused for this time, ms. */
const BLOCK_MS = 30_000
/** A message to a member without a connection waits this long for one, ms. */
const PENDING_DIAL_MS = 5_000
const PENDING_MESSAGES = 32
/** In a large cluster, a connection that the mesh does not need is closed after this time without direct messages, ms. */
const IDLE_MS = 10_000
const STOP_TIMEOUT_MS = 2_000
/** Advice in log messages about a peer without a common secret. */
const SECRET_ADVICE =
  'Both serve separately until they have a secret in common; change a secret in three rolls (docs/operating.md, Changing the secret)'
/** An empty message: a request to forward gossip. */
const FORWARD_REQUEST = new Uint8Array(0)
/** Time for a refused peer to read this cluster's name, ms. */
const GREETING_FLUSH_MS = 1_000
/** Limits for direct messages of one peer, which are votes, hints and shared state. */
const DIRECT_LIMITS = {
  messagesPerSecond: 200,
  bytesPerSecond: 2 * 1024 * 1024,
  burstMs: 5_000,
  strikes: 2_000,
  strikesMs: 10_000,
}

interface PendingDial {
  until: number
  readonly messages: Uint8Array[]
  readonly waiting: ((peer: Peer | null) => void)[]
}

/** @throws Error when it cannot listen */
export async function startNetwork(options: NetworkOptions): Promise<Network> {
  const { cluster, events, log } = options
  const now = (): number => performance.now()
  const logLimit = new KeyedLogLimit()
  const counts = { sent: 0, received: 0, dropped: 0, pulls: 0, pullsFailed: 0, dials: 0, dialsFailed: 0 }
  const blockedUntil = new Map<MemberId, number>()
  const guard = floodGuard(DIRECT_LIMITS)
  const dials = dialer(Math.random)
  const forwarding = createForwarding()
  const foreignPeers = new ForeignPeers()
  const bodies = bodyServer(hash => events.bodyOf(hash))
  /** Members that messages or pulls are waiting for. */
  const pendingDials = new Map<MemberId, PendingDial>()
  let targets: readonly string[] = []
  /** The DNS name of each target, for the log: a name may also resolve to another service. */
  let names: ReadonlyMap<string, string> = new Map()
  let members: ReadonlyMap<MemberId, readonly string[]> = new Map()
  let toDial: readonly MemberId[] = []
  let interfaces = interfaceAddresses()
  let stopped = false

  const warnOnce = (subject: string, address: string, message: string): void => {
    if (logLimit.take(`${subject} ${address}`, now())) log.warn({ address }, message)
  }
  const foundBy = (address: string): string => {
    const name = names.get(address)
    return name === undefined ? '' : ` (an address of ${name})`
  }
  /** A peer that holds the secret belongs to another cluster. */
  const onOtherCluster = (at: string, name: string): void => {
    const shown = JSON.stringify(name.slice(0, 64))
    const host = parseAddress(at)?.host ?? at
    warnOnce('cluster', host, `the member at ${at} belongs to cluster ${shown}, this one is "${cluster}"; it is refused`)
    options.otherCluster?.(name)
  }
  const protector = networkProtector(options.secrets, cluster, {
    foreignPeer(address) {
      const host = parseAddress(fromMultiaddr(address))?.host ?? 'unknown'
      // Any host may connect, so at most one line a minute is logged for all hosts where no peer is expected.
      const expected = targets.some(target => parseAddress(target)?.host === host)
      const subject = `foreign ${expected ? host : ''}`
      if (!logLimit.take(subject, now())) return
      const message = `a peer at ${host} does not hold the cluster secret; it is refused`
      log.warn(
        { address: host, refused: protector.counts.refusedHandshakes },
        expected ? `${message}. ${SECRET_ADVICE}` : message,
      )
    },
    otherCluster: (address, name) => onOtherCluster(fromMultiaddr(address), name),
    silent(remote) {
      const at = fromMultiaddr(remote)
      if (stopped) return
      const meaning = 'it hangs, or is not a Skein member'
      warnOnce('silent', at, `the peer at ${at}${foundBy(at)} accepts the connection and sends nothing: ${meaning}`)
    },
  })
  const isBlocked = (peer: PeerId): boolean => (blockedUntil.get(peer.toString()) ?? 0) > now()
  const topic = `/skein/1/${cluster}`
  const { node, port } = await startNode({
    listen: options.listen,
    topic,
    protector,
    gater: { denyInboundEncryptedConnection: isBlocked, denyOutboundEncryptedConnection: isBlocked },
  })
  const listen = { host: options.listen.host, port }
  const self = node.peerId.toString()

  // ---- connections ----

  const table = peerTable(self, Buffer.from(cluster, 'utf8'), {
    disconnected(peer) {
      dials.connectionLost(peer.id, now())
      forwarding.connectionChanged(now())
      if (stopped) return
      // In a large cluster either side may close a connection that the mesh does not need; this is not a failure.
      const optional = members.size >= FULL_UP_TO && members.has(peer.id) && !isNeighbour(self, peer.id, [...members.keys()])
      if (peer.admitted && !optional) events.disconnected(peer.id)
      // Delayed, because gossipsub still reads the peer's protocols from the peer store.
      setTimeout(() => {
        if (!stopped && !table.connected.has(peer.id)) void node.peerStore.delete(peer.peerId).catch(() => undefined)
      }, 5_000).unref()
    },
    connectionLost(peer) {
      // Gossipsub opens its stream only when a peer has been identified, so identify it again over the remaining connection.
      setTimeout(() => {
        const left = peer.connections[0]
        if (left !== undefined && !stopped) void node.services.identify.identify(left).catch(() => undefined)
      }, 50).unref()
    },
  })

  function refuse(id: MemberId, reason: string): void {
    blockedUntil.set(id, now() + BLOCK_MS)
    for (const connection of table.all.get(id)?.connections.slice() ?? []) connection.abort(new Error(reason))
  }

  function onFlood(id: MemberId): void {
    // Messages already in flight when it was blocked are not logged again.
    if ((blockedUntil.get(id) ?? 0) <= now()) {
      const at = addressOf(id)
      log.warn(
        { address: at, peer: id },
        `the member at ${at} floods the cluster; it is disconnected and refused for ${BLOCK_MS / 1000} s`,
      )
    }
    refuse(id, 'it floods the cluster')
  }

  function addressOf(id: MemberId): string {
    const connection = table.all.get(id)?.connections[0]
    return connection === undefined ? 'unknown' : fromMultiaddr(connection.remoteAddr)
  }

  /** A peer has sent the name of its cluster. @returns false when it is refused */
  function onGreeting(connection: Connection, greeting: string): boolean {
    const id = connection.remotePeer.toString()
    const peer = table.opened(connection, now())
    if (greeting === cluster) {
      if (!peer.admitted) {
        peer.admitted = true
        events.connected(id)
      }
      return true
    }
    onOtherCluster(fromMultiaddr(connection.remoteAddr), greeting)
    setTimeout(() => refuse(id, 'it belongs to another cluster'), GREETING_FLUSH_MS).unref()
    return false
  }

  node.addEventListener('connection:open', ({ detail: connection }) => {
    if (stopped) return
    const peer = table.opened(connection, now())
    forwarding.connectionChanged(now())
    const wanted = pendingDials.get(peer.id)
    if (wanted === undefined) return
    pendingDials.delete(peer.id)
    for (const message of wanted.messages) if (!peer.outbox.send(message)) counts.dropped++
    for (const resolve of wanted.waiting) resolve(peer)
  })
  node.addEventListener('connection:close', ({ detail: connection }) => table.closed(connection))

  // ---- messages and bodies ----

  const channel = gossipChannel(node.services.pubsub, self, topic, {
    message(from, data) {
      counts.received++
      forwarding.received(from, now())
      events.message(from, data)
    },
    forward: () => forwarding.active(now()),
    dropped: messages => void (counts.dropped += messages),
    flood: onFlood,
  })

  function onMessageStream(stream: Stream, connection: Connection): void {
    const id = connection.remotePeer.toString()
    inbox(stream, {
      greeting: data => data.length <= 256 && onGreeting(connection, Buffer.from(data).toString('utf8')),
      message(data) {
        const verdict = guard.judge(id, 1, data.length, now())
        if (verdict === 'accept' && data.length === 0) {
          forwarding.requested(now())
          return true
        }
        if (verdict === 'accept') {
          counts.received++
          const peer = table.all.get(id)
          if (peer !== undefined) peer.usedAt = now()
          forwarding.received(id, now())
          events.message(id, data)
          return true
        }
        counts.dropped++
        if (verdict === 'disconnect') onFlood(id)
        return verdict === 'drop'
      },
      malformed(error) {
        counts.dropped++
        const at = fromMultiaddr(connection.remoteAddr)
        warnOnce('malformed', id, `the member at ${at} sent a malformed message: ${error.message}; its stream is closed`)
      },
    })
  }

  function onBodyStream(stream: Stream, connection: Connection): void {
    const peer = table.all.get(connection.remotePeer.toString())
    if (peer?.admitted !== true) {
      stream.abort(new Error('no member'))
      return
    }
    peer.usedAt = now()
    void bodies.serve(peer.id, stream)
  }

  await node.handle(MESSAGE_PROTOCOL, onMessageStream, { maxInboundStreams: 4 })
  await node.handle(BODY_PROTOCOL, onBodyStream, { maxInboundStreams: 4 })

  /** Requests a connection to a member for a pending message or pull; null: not a known member. */
  function requestConnection(id: MemberId): PendingDial | null {
    if (!members.has(id)) return null
    let wanted = pendingDials.get(id)
    if (wanted === undefined) {
      wanted = { until: now() + PENDING_DIAL_MS, messages: [], waiting: [] }
      pendingDials.set(id, wanted)
      dialNow()
    }
    return wanted
  }

  function peerFor(id: MemberId): Promise<Peer | null> {
    const peer = table.all.get(id)
    if (peer !== undefined) return Promise.resolve(peer)
    return new Promise(resolve => {
      const wanted = requestConnection(id)
      if (wanted === null) resolve(null)
      else wanted.waiting.push(resolve)
    })
  }

  // ---- dialling ----

  function dialNow(): void {
    if (stopped) return
    const wanted = new Map<MemberId, readonly string[]>()
    for (const id of toDial) wanted.set(id, members.get(id) ?? [])
    for (const id of pendingDials.keys()) wanted.set(id, members.get(id) ?? [])
    const large = members.size >= FULL_UP_TO
    const state = { wanted, targets, connected: table.connected, large, isMember: (id: MemberId) => members.has(id) }
    for (const address of dials.next(state, now())) void dial(address)
  }

  async function dial(address: string): Promise<void> {
    const parsed = parseAddress(address)
    let outcome: DialOutcome = { kind: 'notPeer' }
    if (parsed !== null && !isOwnAddress(parsed, listen, interfaces)) {
      counts.dials++
      const since = now()
      try {
        const connection = await node.dial(toMultiaddr(parsed), { signal: AbortSignal.timeout(DIAL_TIMEOUT_MS) })
        outcome = { kind: 'member', id: connection.remotePeer.toString() }
        foreignPeers.answered(address)
      } catch (error) {
        const failure = describeDialFailure(error, now() - since)
        if (failure.kind !== 'self') counts.dialsFailed++
        if (failure.kind === 'unreachable') outcome = { kind: 'failed' }
        if (failure.kind === 'self') foreignPeers.answered(address)
        if (failure.kind === 'other' && targets.includes(address)) foreignPeers.otherCluster(address, failure.message, now())
        if (failure.kind === 'refused') {
          outcome = { kind: 'refused' }
          logRefusal(address)
        } else if (failure.kind === 'foreign') {
          outcome = { kind: 'refused' }
          if (targets.includes(address)) foreignPeers.refused(address, now(), failure.message)
          if (!stopped)
            warnOnce(
              'foreign',
              address,
              `the peer at ${address}${foundBy(address)} is not a member of this cluster: ${failure.message}`,
            )
        } else if (failure.kind === 'unreachable' && logLimit.take(`dial ${address}`, now())) {
          log.debug({ address, err: failure.message }, `no member answers at ${address}`)
        }
      }
    }
    dials.finished(address, outcome, now())
  }

  /** Logs one line a minute for all peers that refuse the handshake. */
  function logRefusal(address: string): void {
    if (stopped || (targets.includes(address) && !foreignPeers.refused(address, now()))) return
    if (!logLimit.take('refused', now())) return
    const all = foreignPeers.list(now()).filter(({ reason }) => reason === WRONG_SECRET)
    const others = all.map(peer => peer.address).filter(each => each !== address)
    const more = others.length === 0 ? '' : ` (and ${others.length} more: ${others.slice(0, 4).join(', ')})`
    const message = `the peer at ${address}${foundBy(address)}${more} refused the handshake: it may hold another secret, or not be a Skein member. ${SECRET_ADVICE}`
    log.warn({ address, strangers: all.length }, message)
  }

  let polls = 0
  const timer = setInterval(() => {
    dialNow()
    const at = now()
    if (forwarding.requestNeeded(members.keys(), table.connected, at))
      for (const peer of table.all.values()) peer.outbox.send(FORWARD_REQUEST)
    for (const [id, wanted] of pendingDials) {
      if (wanted.until > at) continue
      pendingDials.delete(id)
      counts.dropped += wanted.messages.length
      for (const resolve of wanted.waiting) resolve(null)
    }
    if (++polls % 10 !== 0) return
    protector.closeSilent(MAX_SILENT_SECONDS)
    table.closeDuplicates(at)
    for (const [id, until] of blockedUntil) if (until <= at) blockedUntil.delete(id)
    if (polls % 20 !== 0) return
    interfaces = interfaceAddresses()
    if (members.size >= FULL_UP_TO) closeIdle(at)
  }, POLL_MS)

  /** Closes one connection at a time, so that the mesh can adapt. The side with the lower id decides, as in peers.ts. */
  function closeIdle(at: number): void {
    const ids = [...members.keys()]
    for (const peer of table.all.values()) {
      const needed = !members.has(peer.id) || isNeighbour(self, peer.id, ids)
      if (needed || self > peer.id || at - peer.usedAt < IDLE_MS) continue
      for (const connection of peer.connections.slice()) closeConnection(connection)
      return
    }
  }

  return {
    self,
    port,

    broadcast(data) {
      if (stopped) return
      counts.sent++
      void channel.publish(data, members.size < FULL_UP_TO).then(reached => {
        // Peers without a gossip stream receive the message directly.
        for (const peer of table.all.values()) {
          if (peer.admitted && !reached.has(peer.id) && !peer.outbox.send(data)) counts.dropped++
        }
      })
    },

    send(to, data) {
      if (stopped) return
      counts.sent++
      const peer = table.all.get(to)
      if (peer !== undefined) {
        peer.usedAt = now()
        if (!peer.outbox.send(data)) counts.dropped++
        return
      }
      const wanted = requestConnection(to)
      if (wanted !== null && wanted.messages.length < PENDING_MESSAGES) wanted.messages.push(data)
      else counts.dropped++
    },

    async pull(from, hash) {
      counts.pulls++
      try {
        const peer = await peerFor(from)
        const connection = peer?.connections[0]
        if (peer === null || connection === undefined) throw new Error('there is no connection to it')
        peer.usedAt = now()
        return await pullBody(await connection.newStream(BODY_PROTOCOL, { signal: AbortSignal.timeout(OPEN_TIMEOUT_MS) }), hash)
      } catch (error) {
        counts.pullsFailed++
        throw error
      }
    },

    setTargets(addresses, found = new Map()) {
      targets = [...new Set(addresses)]
      foreignPeers.keepOnly(targets)
      names = found
      dialNow()
    },

    setMembers(list) {
      members = new Map(list.filter(member => member.id !== self).map(member => [member.id, member.addresses]))
      toDial = membersToDial(self, [...members.keys()])
      for (const [id, addresses] of members) {
        for (const address of addresses) {
          dials.setOwner(address, id)
          if (table.connected.has(id)) foreignPeers.answered(address)
        }
      }
      dialNow()
    },

    connections: () => table.list(),

    counts: (): NetworkCounts => ({
      ...counts,
      bytesSent: protector.counts.bytesSent,
      bytesReceived: protector.counts.bytesReceived,
      handshakesRefused: protector.counts.refusedHandshakes,
    }),

    foreignPeers: () => foreignPeers.list(now()),

    async stop() {
      if (stopped) return
      stopped = true
      clearInterval(timer)
      table.stop()
      for (const wanted of pendingDials.values()) for (const resolve of wanted.waiting) resolve(null)
      pendingDials.clear()
      await Promise.race([node.stop(), new Promise(resolve => setTimeout(resolve, STOP_TIMEOUT_MS).unref())])
    },
  }
}
