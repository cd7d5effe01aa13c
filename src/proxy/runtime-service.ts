// One service in a data worker: its servers, balancer, breaker, sessions and limits. It outlives snapshots in which the service is still
// described, with its counts and history.

import type { Service } from '../config/model.ts'
import { type Balancer, createBalancer } from './balancing/balancer.ts'
import { prepareSticky } from './balancing/sticky-cookie.ts'
import { ServiceBreaker } from './breaker/service-breaker.ts'
import { relayName } from './message/relay-field.ts'
import type { RequestView } from './message/request-view.ts'
import { ejectUntilProbed } from './outlier/ejection.ts'
import { ConnectionLimit, compileMaxConnKey } from './routing/max-conn.ts'
import { ServiceSessions } from './sessions/service-sessions.ts'
import type { SessionKeys } from './sessions/session-key.ts'
import { UpstreamServer } from './upstream/upstream-server.ts'
import type { TransportFactory } from './upstream/upstream-stream.ts'

/** See RuntimeService.warmServers. */
export const WARM_UP_MS = 1_500

export class RuntimeService {
  readonly name: string
  config: Service
  servers: readonly UpstreamServer[] = []
  balancer: Balancer
  /** See warmServers. */
  private warm: readonly UpstreamServer[] = []
  private warmUpEndsMs = 0
  maxConnKey: ((request: RequestView) => string) | null = null
  limit: ConnectionLimit | null = null
  /** null: the service has no breaker. */
  breaker: ServiceBreaker | null = null
  /** Learned sessions; null if the service learns none. */
  sessions: ServiceSessions | null = null
  /** The name of the sticky cookie with its `=`. */
  stickyNeedle = ''
  /** The first feature of the service that this version lacks; null: none. Written by Runtime. */
  missingFeature: string | null = null
  /** Slot of the service in the counters. */
  slot: number
  /** No server is reachable from here: requests are relayed through a peer if one can take them (peers/relays.ts). */
  relayed = false
  /** Name of the peer that was last reported as the relay. */
  relayPeer = ''
  /** The name of the service on the wire between peers. */
  readonly relayName: string
  private readonly keys: SessionKeys
  private readonly transports: TransportFactory

  /** `probeFirst`: see setServers. `keys` may change: see resetSessions. */
  constructor(config: Service, slot: number, keys: SessionKeys, transports: TransportFactory, probeFirst: boolean) {
    this.name = config.name
    this.relayName = relayName(config.name)
    this.config = config
    this.slot = slot
    this.keys = keys
    this.transports = transports
    this.balancer = createBalancer(config.balancer)
    this.setMaxConn(config)
    this.setBreaker(config)
    this.setServers(config, probeFirst)
  }

  update(config: Service, probeFirst: boolean): void {
    if (config.balancer !== this.config.balancer) this.balancer = createBalancer(config.balancer)
    if (JSON.stringify(config.maxConn) !== JSON.stringify(this.config.maxConn)) this.setMaxConn(config)
    this.config = config
    this.setBreaker(config)
    this.setServers(config, probeFirst)
  }

  retire(): void {
    for (const server of this.servers) server.retire()
    this.servers = []
  }

  /** After a change of the keys: computes cookies anew, and drops learned sessions until control sends them under the new key. */
  resetSessions(): void {
    for (const server of this.servers) server.cookieMark = ''
    this.sessions = null
    this.setSessions()
  }

  /**
   * The servers that sessions are bound to: all except those that joined others less than WARM_UP_MS ago. Replicas learn about a
   * new task at different times, and an overlay network needs up to some seconds to route to it: a session bound to it by one
   * replica would be moved by the next. May be empty. `nowMs` is monotonic.
   */
  warmServers(nowMs: number): readonly UpstreamServer[] {
    if (nowMs >= this.warmUpEndsMs) {
      const { servers } = this
      this.warm = servers.filter(server => server.warmUpEndsMs <= nowMs)
      this.warmUpEndsMs = servers.reduce(
        (at, server) => (server.warmUpEndsMs > nowMs ? Math.min(at, server.warmUpEndsMs) : at),
        Infinity,
      )
    }
    return this.warm
  }

  /** Control sets the gate of the breaker. */
  private setBreaker(config: Service): void {
    this.breaker = config.breaker === null ? null : (this.breaker ?? new ServiceBreaker(config.name))
  }

  private setMaxConn(config: Service): void {
    this.maxConnKey = config.maxConn === null ? null : compileMaxConnKey(config.maxConn.by)
    this.limit = config.maxConn === null ? null : new ConnectionLimit(config.maxConn.amount)
  }

  /** `probeFirst`: some servers are unreachable from here, so a new server must pass a probe before it gets a request. */
  private setServers(config: Service, probeFirst: boolean): void {
    const old = new Map(this.servers.map(server => [UpstreamServer.key(server), server]))
    const next: UpstreamServer[] = []
    for (const wanted of config.servers) {
      const key = UpstreamServer.key(wanted)
      const known = old.get(key)
      if (known === undefined) {
        const server = new UpstreamServer(wanted, config.name, this.transports)
        if (probeFirst) ejectUntilProbed(server, performance.now())
        if (this.servers.length > 0) server.warmUpEndsMs = performance.now() + WARM_UP_MS
        next.push(server)
      } else {
        known.update(wanted)
        old.delete(key)
        next.push(known)
      }
    }
    for (const server of old.values()) server.retire()
    this.servers = next
    this.warmUpEndsMs = 0
    for (const server of next) {
      server.pool = this
      server.errorLimit = config.outliers.errors
    }
    this.setSessions()
  }

  private setSessions(): void {
    const { config, servers: next } = this
    const { sticky, learn } = config
    this.stickyNeedle = sticky === null ? '' : `${sticky.name}=`
    if (sticky !== null) prepareSticky(this.keys.current, config.name, sticky, next, this.keys.others)
    if (learn === null) this.sessions = null
    else if (this.sessions?.update(learn) !== true) this.sessions = new ServiceSessions(learn, this.keys, config.name)
    this.sessions?.setServers(next)
  }
}
