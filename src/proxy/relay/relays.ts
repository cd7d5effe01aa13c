// When a service's requests go through a peer, and through which. A service goes over when none of its servers can be reached
// from here (reach.ts) and comes back as soon as one can: by the probes that every ejected server gets. A single request goes
// over by itself when two of its connects led nowhere and no other server is known to answer. What a peer sent is never sent to
// another. Spec: design, section 6, "Relay".

import { createSecureContext } from 'node:tls'
import { PSK_CONTEXT, pskClientOptions } from '../../util/psk-channel.ts'
import type { Sweep } from '../forward/deadlines.ts'
import type { Exchange } from '../forward/exchange.ts'
import { ejectUntilProbed, isVerdictPending, mayBeUnreachableHere } from '../outlier/ejection.ts'
import type { RuntimeService } from '../runtime.ts'
import type { UpstreamServer } from '../upstream/upstream-server.ts'
import { RELAY_PROTOCOL } from './relay-key.ts'
import { type PeerTarget, RelayPeer } from './relay-peer.ts'
import { serviceReachability } from './service-reachability.ts'

/** Connects of one request that led nowhere before it goes through a peer, unless another server has answered of late. */
const MAX_FAILED_CONNECTS = 2
/** The way back of a service that is relayed is looked for this often, however often it was not there before. */
const PROBE_AT_LEAST_EVERY_MS = 5000
/** Peers compared for a request: the less busy of two is nearly as good as the least busy of all. */
const COMPARED = 2
/** Whoever asked so recently who reaches a server needs the answer, ms. */
const ASKED_OF_LATE_MS = 2000

export interface ReachHost {
  /** A service goes over (through '' while no peer can take it), goes through another peer, or has come back. */
  onReach(service: string, reachable: boolean, cause: string, through: string): void
}

export class Relays {
  /** False in a replica without a cluster: then nothing here is ever asked. */
  readonly enabled: boolean
  peers: readonly RelayPeer[] = []
  private readonly channel: ReturnType<typeof pskClientOptions> | null
  private readonly idleMs: number
  private readonly sweep: Sweep
  private readonly host: ReachHost
  private cursor = 0

  /** `keys` as in DataPlaneOptions.relay: the first is shown to peers. `idleMs`: how long unused connections are kept. */
  constructor(keys: readonly string[], idleMs: number, sweep: Sweep, host: ReachHost) {
    const [key] = keys
    this.idleMs = idleMs
    this.sweep = sweep
    this.host = host
    this.enabled = key !== undefined
    this.channel =
      key === undefined
        ? null
        : {
            ...pskClientOptions(Buffer.from(key, 'hex'), RELAY_PROTOCOL),
            // Made once: it costs more than a handshake.
            secureContext: createSecureContext({ ...PSK_CONTEXT, ca: [] }),
          }
  }

  /** The peers there are now; who stays keeps connections and history. */
  setPeers(targets: readonly PeerTarget[]): void {
    const { channel } = this
    if (channel === null) return
    const old = this.peers
    this.peers = targets
      .filter(target => target.addresses.length > 0)
      .map(target => {
        const known = old.find(peer => peer.identity === RelayPeer.keyOf(target))
        known?.updateTarget(target)
        return known ?? new RelayPeer(target, channel, this.idleMs)
      })
    for (const peer of old) if (!this.peers.includes(peer)) peer.retire()
  }

  /** The peer that this request is to go through; null: it stays here. */
  peerFor(x: Exchange): RelayPeer | null {
    return this.shouldRelay(x) ? this.leastBusy(x) : null
  }

  /**
   * A peer that has said that it reaches `server`, which the session of `x` is on and which cannot be reached from here; null:
   * there is none, or the way there is not what is wrong.
   */
  sessionPeerFor(x: Exchange, server: UpstreamServer): RelayPeer | null {
    if (server.reachedBy.length === 0 || x.fromPeer) return null
    const nowMs = this.sweep.now
    if (server.reachedUntilMs <= nowMs) return null
    if (server.ejectedUntilMs > nowMs ? !mayBeUnreachableHere(server) : x.failedConnects === 0) return null
    let best: RelayPeer | null = null
    for (const peer of this.peers) {
      if (!server.reachedBy.includes(peer.id) || !peer.canRelay(x.service!.name, nowMs) || x.tried?.includes(peer)) continue
      if (best === null || isNearer(peer, best)) best = peer
    }
    // It may be behind the same break as the server. Nobody moves yet, so nobody need wait for it.
    return best === null || best.connected || !isVerdictPending(server, nowMs) ? best : null
  }

  /**
   * The member with this id, which reaches `server`, if a connection to it should be made before it is needed: no request should
   * have to find out that it cannot be reached either.
   */
  peerToConnect(server: UpstreamServer, id: string): RelayPeer | null {
    const nowMs = performance.now()
    if (server.ejectedUntilMs <= nowMs && nowMs - server.peersQueriedMs > ASKED_OF_LATE_MS) return null
    const peer = this.peers.find(one => one.id === id)
    return peer === undefined || peer.hasConnection || peer.ejectedUntilMs > nowMs ? null : peer
  }

  /**
   * No server may be used but, if not null, one that was ejected. @returns what to use instead; null: wait, or tell the peer that
   * sent the request that it is not better here
   */
  alternativeTo<T>(x: Exchange, ejected: T | null): T | RelayPeer | null {
    const service = x.service!
    if (!this.isLost(service)) return ejected
    if (x.fromPeer) return null
    const peer = this.leastBusy(x)
    if (peer !== null) return peer
    // Rather than try what is known to be lost, wait for a peer that was asked a moment ago.
    return this.peers.some(other => other.mayRelaySoon(service.name, this.sweep.now)) ? null : ejected
  }

  /** After a failure at which nothing was sent: is there a peer for it? */
  canRelay(x: Exchange): boolean {
    if (!this.enabled || x.fromPeer) return false
    if (x.affinityUnavailable !== null && this.sessionPeerFor(x, x.affinityUnavailable) !== null) return true
    return (this.shouldRelay(x) || this.isLost(x.service!)) && this.leastBusy(x) !== null
  }

  /** True if a peer takes this service's requests, or may soon. */
  mayRelaySoon(x: Exchange): boolean {
    const { name } = x.service!
    for (const peer of this.peers) if (peer.mayRelaySoon(name, this.sweep.now)) return true
    return false
  }

  /** Once per sweep tick for a service that has gone over: back as soon as a server can be reached, or there is none any more. */
  review(service: RuntimeService, nowMs: number): void {
    const reach = serviceReachability(service.servers, nowMs)
    // Those that drain may be about to be followed by others, as far away as they.
    if (reach === 'usable' || (reach === 'none' && !service.servers.some(server => server.draining))) {
      this.stopRelaying(service, nowMs)
      return
    }
    const latestMs = nowMs + PROBE_AT_LEAST_EVERY_MS
    for (const server of service.servers) {
      if (server.probeAtMs > latestMs && server.probeAtMs !== Number.POSITIVE_INFINITY) server.probeAtMs = latestMs
    }
    const current = this.peers.find(peer => peer.peerName === service.relayPeer)
    if (current?.mayRelaySoon(service.name, nowMs)) return
    const through = this.firstPeerFor(service)
    if (through !== service.relayPeer) this.tell(service, reach === 'none' ? 'unreachable' : reach, through)
  }

  /** What another worker of this replica has found. */
  follow(service: RuntimeService, reachable: boolean, nowMs: number): void {
    if (!this.enabled) return
    if (reachable) {
      if (service.relayed) this.review(service, nowMs)
      return
    }
    for (const server of service.servers) ejectUntilProbed(server, nowMs)
    this.isLost(service)
  }

  private shouldRelay(x: Exchange): boolean {
    if (x.fromPeer) return false
    const service = x.service!
    return service.relayed || (x.failedConnects >= MAX_FAILED_CONNECTS && !this.hasProven(service, x))
  }

  /** A server that has answered and not failed since is nearer than any peer, which may be cut off as well. */
  private hasProven(service: RuntimeService, x: Exchange): boolean {
    const nowMs = this.sweep.now
    for (const server of service.servers) {
      if (server.answers === 0 || server.failures > 0 || server.ejectedUntilMs > nowMs) continue
      if (server.healthy && !server.draining && server.weight > 0 && !x.tried?.includes(server)) return true
    }
    return false
  }

  /** None of its servers can be reached from here; if that is news, it goes over now. */
  private isLost(service: RuntimeService): boolean {
    const reach = serviceReachability(service.servers, this.sweep.now)
    if (reach === 'usable') return false
    if (reach === 'none' || service.relayed) return service.relayed
    service.relayed = true
    this.tell(service, reach, this.firstPeerFor(service))
    return true
  }

  private stopRelaying(service: RuntimeService, nowMs: number): void {
    service.relayed = false
    service.relayPeer = ''
    // If one can be reached so may the others: no need to wait out what they were ejected for.
    for (const server of service.servers) {
      if (server.ejectedUntilMs > nowMs && server.probeAtMs !== Number.POSITIVE_INFINITY) server.probeAtMs = nowMs
    }
    this.host.onReach(service.name, true, '', '')
  }

  private tell(service: RuntimeService, cause: string, through: string): void {
    service.relayPeer = through
    this.host.onReach(service.name, false, cause, through)
  }

  /** In turn, and the less busy of two. */
  private leastBusy(x: Exchange): RelayPeer | null {
    const { peers } = this
    const { name } = x.service!
    const nowMs = this.sweep.now
    let best: RelayPeer | null = null
    let compared = 0
    let at = this.cursor
    for (let left = peers.length; left > 0 && compared < COMPARED; left--) {
      at = at + 1 < peers.length ? at + 1 : 0
      const peer = peers[at]!
      if (!peer.canRelay(name, nowMs) || x.tried?.includes(peer)) continue
      if (compared++ === 0) this.cursor = at
      if (best === null || peer.inFlight < best.inFlight) best = peer
    }
    return best
  }

  private firstPeerFor(service: RuntimeService): string {
    return this.peers.find(peer => peer.canRelay(service.name, this.sweep.now))?.peerName ?? ''
  }
}

/** Whoever has a connection before who has none yet, then the less busy. */
function isNearer(peer: RelayPeer, other: RelayPeer): boolean {
  return peer.connected === other.connected ? peer.inFlight < other.inFlight : peer.connected
}
