// A snapshot as a data worker runs it: route table, services, servers. Applying a new snapshot keeps every object that is still
// described, with its connections, counts and history. Requests in flight keep the objects they started with.

import type { Service, Snapshot } from '../config/model.ts'
import { type Balancer, createBalancer } from './balancing/balancer.ts'
import { prepareSticky } from './balancing/sticky-cookie.ts'
import { ServiceBreaker } from './breaker/service-breaker.ts'
import { relayName } from './message/relay-field.ts'
import type { RequestView } from './message/request-view.ts'
import { ejectUntilProbed } from './outlier/ejection.ts'
import type { CompiledRoute } from './routing/compiled-route.ts'
import { ConnectionLimit, compileMaxConnKey } from './routing/max-conn.ts'
import { compileRoutes, type RouteTable } from './routing/route-table.ts'
import { type MiddlewareCompiler, RouterChains } from './routing/router-chains.ts'
import { ServiceSessions } from './sessions/service-sessions.ts'
import type { SessionKeys } from './sessions/session-key.ts'
import { UpstreamServer } from './upstream/upstream-server.ts'
import type { TransportFactory } from './upstream/upstream-stream.ts'

/** See RuntimeService.warmServers. */
export const WARM_UP_MS = 1_500

/** Limit of the accepted keys besides the one in use. */
const MAX_OTHER_KEYS = 8

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

export class Runtime {
  routes: RouteTable<CompiledRoute>
  readonly services = new Map<string, RuntimeService>()
  private readonly keys: SessionKeys
  private readonly transports: TransportFactory
  private readonly chains: RouterChains
  private readonly keepTrailingSlash: boolean

  /**
   * Sessions are made under `cookieKey` and accepted under `otherKeys`. `keepTrailingSlash`: a path that differs from a rule by a
   * trailing slash does not match, instead of being redirected.
   */
  constructor(
    cookieKey: string,
    middlewares: MiddlewareCompiler,
    transports: TransportFactory,
    otherKeys: readonly string[] = [],
    keepTrailingSlash = false,
  ) {
    this.keepTrailingSlash = keepTrailingSlash
    this.keys = { current: cookieKey, others: otherKeys.filter(key => key !== cookieKey) }
    this.chains = new RouterChains(middlewares)
    this.transports = transports
    this.routes = compileRoutes<CompiledRoute>([], () => {
      throw new Error('no routers')
    })
  }

  /** Changes the key of new sessions. Sessions under the previous key and under the other keys remain accepted. */
  setSessionKey(key: string): void {
    const { keys } = this
    if (key === keys.current) return
    keys.others = [keys.current, ...keys.others]
      .filter((one, at, all) => one !== key && all.indexOf(one) === at)
      .slice(0, MAX_OTHER_KEYS)
    keys.current = key
    for (const service of this.services.values()) service.resetSessions()
  }

  /** Applies a snapshot. `slots` maps services to their slots in the counters. */
  apply(snapshot: Snapshot, slots: ReadonlyMap<string, number>): void {
    for (const [name, service] of this.services) {
      if (Object.hasOwn(snapshot.services, name)) continue
      service.retire()
      this.services.delete(name)
    }
    let probeFirst = false
    // If no peer reaches the servers either, they are gone, and the network of this replica is not the cause.
    for (const service of this.services.values()) probeFirst ||= service.relayed && service.relayPeer !== ''
    for (const config of Object.values(snapshot.services)) {
      const known = this.services.get(config.name)
      const slot = slots.get(config.name) ?? 0
      if (known === undefined)
        this.services.set(config.name, new RuntimeService(config, slot, this.keys, this.transports, probeFirst))
      else {
        known.slot = slot
        known.update(config, probeFirst)
      }
    }
    const usable = Object.values(snapshot.routers).filter(router => this.services.has(router.service))
    const chains = this.chains.apply(snapshot, usable)
    this.routes = compileRoutes<CompiledRoute>(
      usable,
      router => ({ router, service: this.services.get(router.service)!, redirects: false, ...chains.get(router.name)! }),
      this.keepTrailingSlash ? null : route => ({ ...route, redirects: true }),
    )
  }

  /** Sets the result of the active health check. `unreachable`: the check could not connect. */
  setHealth(service: string, serverId: string, healthy: boolean, unreachable = false): void {
    for (const server of this.services.get(service)?.servers ?? []) {
      if (server.id !== serverId) continue
      server.healthy = healthy
      server.checkUnreachable = unreachable
      server.reached ||= healthy
    }
  }
}
