// Decides when requests of a service go through a peer, and through which one. A service is relayed while none of its servers can be
// reached from this replica (service-reachability.ts); probes of ejected servers end that. A single request is relayed when two of
// its connects failed and no other server is known to respond, or when only its session's server is unreachable and a peer reaches
// it. A request that came from a peer is never relayed again.

import type { Sweep } from '../forward/deadlines.ts'
import type { Exchange } from '../forward/exchange.ts'
import { ejectUntilProbed, isVerdictPending, mayBeUnreachableHere } from '../outlier/ejection.ts'
import type { RuntimeService } from '../runtime-service.ts'
import type { UpstreamServer } from '../upstream/upstream-server.ts'
import { type PeerTarget, type PeerTransportFactory, RelayPeer } from './relay-peer.ts'
import { serviceReachability } from './service-reachability.ts'

/** Failed connects after which a request goes through a peer, unless another server has responded recently. */
const MAX_FAILED_CONNECTS = 2
/** Longest interval between probes of the servers of a relayed service, ms, whatever their back-off. */
const MAX_PROBE_INTERVAL_MS = 5000
/** Peers compared per request (power of two choices). */
const COMPARED = 2
/** A reachability query this recent means that requests wait for the answer, ms. */
const RECENT_QUERY_MS = 2000

export interface ReachHost {
  /** A service starts being relayed (through '' while no peer can take it), changes its peer, or is reachable again. */
  onReach(service: string, reachable: boolean, cause: string, through: string): void
}

export class Relays {
  /** False in a replica without a cluster. */
  readonly enabled: boolean
  peers: readonly RelayPeer[] = []
  private readonly transports: PeerTransportFactory | null
  private readonly sweep: Sweep
  private readonly host: ReachHost
  private cursor = 0

  /** `transports`: how peers are reached; null in a replica without a cluster. */
  constructor(transports: PeerTransportFactory | null, sweep: Sweep, host: ReachHost) {
    this.transports = transports
    this.enabled = transports !== null
    this.sweep = sweep
    this.host = host
  }

  /** Replaces the list of peers. Peers that stay keep connections and history. */
  setPeers(targets: readonly PeerTarget[]): void {
    const { transports } = this
    if (transports === null) return
    const old = this.peers
    this.peers = targets
      .filter(target => target.addresses.length > 0)
      .map(target => {
        const known = old.find(peer => peer.identity === RelayPeer.keyOf(target))
        known?.updateTarget(target)
        return known ?? new RelayPeer(target, transports)
      })
    for (const peer of old) if (!this.peers.includes(peer)) peer.retire()
  }

  /** The peer to relay this request through; null: it is not relayed. */
  peerFor(x: Exchange): RelayPeer | null {
    return this.shouldRelay(x) ? this.leastBusy(x) : null
  }

  /**
   * A peer that has reported that it reaches `server`, which holds the session of `x` and is unreachable from here. Null: there is
   * none, or `server` failed for another reason.
   */
  sessionPeerFor(x: Exchange, server: UpstreamServer): RelayPeer | null {
    if (server.reachedBy.length === 0 || x.fromPeer) return null
    const nowMs = this.sweep.now
    if (server.reachedUntilMs <= nowMs) return null
    if (server.ejectedUntilMs > nowMs ? !mayBeUnreachableHere(server) : x.attempt.failedConnects === 0) return null
    let best: RelayPeer | null = null
    for (const peer of this.peers) {
      if (!server.reachedBy.includes(peer.id) || !peer.canRelay(x.service!.name, nowMs) || x.attempt.tried?.includes(peer))
        continue
      if (best === null || isBetter(peer, best)) best = peer
    }
    // Without an established connection the peer may be cut off as well. While the verdict on the server is pending, the session stays.
    return best === null || best.connected || !isVerdictPending(server, nowMs) ? best : null
  }

  /**
   * The peer `id`, which reaches `server`, if a connection to it should be opened ahead of use, so that no request has to find out
   * that the peer is unreachable as well. Else null.
   */
  peerToConnect(server: UpstreamServer, id: string): RelayPeer | null {
    const nowMs = performance.now()
    if (server.ejectedUntilMs <= nowMs && nowMs - server.peersQueriedMs > RECENT_QUERY_MS) return null
    const peer = this.peers.find(one => one.id === id)
    return peer === undefined || peer.hasConnection || peer.ejectedUntilMs > nowMs ? null : peer
  }

  /**
   * What to use where only an ejected server (`ejected`, may be null) is left. Null: wait for a server, or decline the request if it
   * came from a peer.
   */
  alternativeTo<T>(x: Exchange, ejected: T | null): T | RelayPeer | null {
    const service = x.service!
    if (!this.relayIfUnreachable(service)) return ejected
    if (x.fromPeer) return null
    const peer = this.leastBusy(x)
    if (peer !== null) return peer
    // A peer that declined a moment ago may be able to take it soon. An ejected server of an unreachable service is not tried.
    return this.peers.some(other => other.mayRelaySoon(service.name, this.sweep.now)) ? null : ejected
  }

  /** True if there is a peer for a request of which nothing was sent. */
  canRelay(x: Exchange): boolean {
    if (!this.enabled || x.fromPeer) return false
    if (x.session.affinityUnavailable !== null && this.sessionPeerFor(x, x.session.affinityUnavailable) !== null) return true
    return (this.shouldRelay(x) || this.relayIfUnreachable(x.service!)) && this.leastBusy(x) !== null
  }

  /** True if a peer takes requests of this service now or soon. */
  mayRelaySoon(x: Exchange): boolean {
    const { name } = x.service!
    for (const peer of this.peers) if (peer.mayRelaySoon(name, this.sweep.now)) return true
    return false
  }

  /** Once per tick for a relayed service: stops relaying when a server is reachable, or when none is configured. */
  review(service: RuntimeService, nowMs: number): void {
    const reachability = serviceReachability(service.servers, nowMs)
    // Servers that drain are probably being replaced by others that are unreachable as well.
    if (reachability === 'usable' || (reachability === 'none' && !service.servers.some(server => server.draining))) {
      this.stopRelaying(service, nowMs)
      return
    }
    const latestMs = nowMs + MAX_PROBE_INTERVAL_MS
    for (const server of service.servers) {
      if (server.probeAtMs > latestMs && server.probeAtMs !== Number.POSITIVE_INFINITY) server.probeAtMs = latestMs
    }
    const current = this.peers.find(peer => peer.peerName === service.relayPeer)
    if (current?.mayRelaySoon(service.name, nowMs)) return
    const through = this.firstPeerFor(service)
    if (through !== service.relayPeer) this.report(service, reachability === 'none' ? 'unreachable' : reachability, through)
  }

  /** Applies a report of another worker of this replica. */
  applyWorkerReport(service: RuntimeService, reachable: boolean, nowMs: number): void {
    if (!this.enabled) return
    if (reachable) {
      if (service.relayed) this.review(service, nowMs)
      return
    }
    for (const server of service.servers) ejectUntilProbed(server, nowMs)
    this.relayIfUnreachable(service)
  }

  private shouldRelay(x: Exchange): boolean {
    if (x.fromPeer) return false
    const service = x.service!
    return service.relayed || (x.attempt.failedConnects >= MAX_FAILED_CONNECTS && !this.hasResponsive(service, x))
  }

  /** Another server has responded and not failed since. It is preferred to a peer, which may be cut off as well. */
  private hasResponsive(service: RuntimeService, x: Exchange): boolean {
    const nowMs = this.sweep.now
    for (const server of service.servers) {
      if (server.answers === 0 || server.failures > 0 || server.ejectedUntilMs > nowMs) continue
      if (server.healthy && !server.draining && server.weight > 0 && !x.attempt.tried?.includes(server)) return true
    }
    return false
  }

  /** True if no server of the service is reachable. Starts relaying it if it was not relayed before. */
  private relayIfUnreachable(service: RuntimeService): boolean {
    const reachability = serviceReachability(service.servers, this.sweep.now)
    if (reachability === 'usable') return false
    if (reachability === 'none' || service.relayed) return service.relayed
    service.relayed = true
    this.report(service, reachability, this.firstPeerFor(service))
    return true
  }

  private stopRelaying(service: RuntimeService, nowMs: number): void {
    service.relayed = false
    service.relayPeer = ''
    // If one server is reachable, others probably are: probe them now instead of at the end of their back-off.
    for (const server of service.servers) {
      if (server.ejectedUntilMs > nowMs && server.probeAtMs !== Number.POSITIVE_INFINITY) server.probeAtMs = nowMs
    }
    this.host.onReach(service.name, true, '', '')
  }

  private report(service: RuntimeService, cause: string, through: string): void {
    service.relayPeer = through
    this.host.onReach(service.name, false, cause, through)
  }

  /** The less busy of the next two peers in turn. */
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
      if (!peer.canRelay(name, nowMs) || x.attempt.tried?.includes(peer)) continue
      if (compared++ === 0) this.cursor = at
      if (best === null || peer.inFlight < best.inFlight) best = peer
    }
    return best
  }

  private firstPeerFor(service: RuntimeService): string {
    return this.peers.find(peer => peer.canRelay(service.name, this.sweep.now))?.peerName ?? ''
  }
}

/** Prefers an established connection, then the smaller number of requests. */
function isBetter(peer: RelayPeer, other: RelayPeer): boolean {
  return peer.connected === other.connected ? peer.inFlight < other.inFlight : peer.connected
}
