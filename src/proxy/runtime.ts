// A snapshot as a data worker runs it: route table, services, servers. Applying a new snapshot keeps every object that is still
// described, with its connections, counts and history. Requests in flight keep the objects they started with.

import { missingServiceFeature } from '../config/features.ts'
import type { Snapshot } from '../config/model.ts'
import type { CompiledRoute } from './routing/compiled-route.ts'
import { compileRoutes, type RouteTable } from './routing/route-table.ts'
import { type MiddlewareCompiler, RouterChains } from './routing/router-chains.ts'
import { RuntimeService } from './runtime-service.ts'
import type { SessionKeys } from './sessions/session-key.ts'
import type { TransportFactory } from './upstream/upstream-stream.ts'

/** Limit of the accepted keys besides the one in use. */
const MAX_OTHER_KEYS = 8

export class Runtime {
  routes: RouteTable<CompiledRoute>
  readonly services = new Map<string, RuntimeService>()
  private readonly keys: SessionKeys
  private readonly transports: TransportFactory
  private readonly features: ReadonlySet<string>
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
    this.features = middlewares.features
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

  /**
   * Applies a snapshot. `slots` maps services to their slots in the counters.
   * @returns errors of middlewares that failed to close, for the log
   */
  apply(snapshot: Snapshot, slots: ReadonlyMap<string, number>): readonly string[] {
    for (const [name, service] of this.services) {
      if (Object.hasOwn(snapshot.services, name)) continue
      service.retire()
      this.services.delete(name)
    }
    let probeFirst = false
    // A service relayed through a peer shows that the network of this replica is at fault: new servers are probed before they get
    // requests. If no peer reaches the servers either, the servers are at fault.
    for (const service of this.services.values()) probeFirst ||= service.relayed && service.relayPeer !== ''
    for (const config of Object.values(snapshot.services)) {
      let service = this.services.get(config.name)
      const slot = slots.get(config.name) ?? 0
      if (service === undefined) {
        service = new RuntimeService(config, slot, this.keys, this.transports, probeFirst)
        this.services.set(config.name, service)
      } else {
        service.slot = slot
        service.update(config, probeFirst)
      }
      service.missingFeature = missingServiceFeature(config, this.features)
    }
    const usable = Object.values(snapshot.routers).filter(router => this.services.has(router.service))
    const { chains, closeFailures } = this.chains.apply(snapshot, usable)
    this.routes = compileRoutes<CompiledRoute>(
      usable,
      router => ({ router, service: this.services.get(router.service)!, redirects: false, ...chains.get(router.name)! }),
      this.keepTrailingSlash ? null : route => ({ ...route, redirects: true }),
    )
    return closeFailures
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
