// What a provider knows of a service before any label dialect has read it: name, labels and instances. Dialects (src/labels) turn
// it into routers, services and middlewares.

import type { Server } from '../config/model.ts'

/** One instance of a service (a Swarm task, a container) with its addresses. */
export interface DiscoveredInstance {
  /** Task or container id. */
  readonly id: string
  /** Hostname of the node, or '' when unknown. */
  readonly node: string
  /** `draining` from the moment the desired state leaves `running`; such an instance is listed until its process has ended. */
  readonly state: 'active' | 'draining'
  /**
   * Addresses by network, in the order the source gives them; the address has no prefix length. Empty: it is on no usable
   * network.
   */
  readonly addresses: readonly { readonly networkId: string; readonly network: string; readonly address: string }[]
}

export interface DiscoveredService {
  readonly provider: string
  readonly id: string
  /** The service's full name, e.g. `shop_web` for service `web` of stack `shop`. */
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly instances: readonly DiscoveredInstance[]
  /**
   * Virtual IPs by network, when the service has them (endpoint mode vip); used only for
   * `traefik.backend.loadbalancer.swarm=true`.
   */
  readonly virtualIps: readonly { readonly networkId: string; readonly network: string; readonly address: string }[]
  /** Container ports that the service publishes or exposes, ascending; a dialect may take the lowest when no label names one. */
  readonly ports: readonly number[]
  /** True while the source is replacing its instances (an update is under way). */
  readonly updating: boolean
  /** True for a service that is meant to have no instance (replicated, scaled to 0). */
  readonly scaledToZero?: boolean
  /** The servers themselves, where the source names them by scheme, host, port and weight; instances and ports then do not count. */
  readonly servers?: readonly Server[]
}

/** The networks that the replicas are on, and those of the swarm that none of them is on. */
export interface EdgeNetworks {
  /** Names, for people; sorted. */
  readonly names: readonly string[]
  /** Ids of networks whose addresses no replica can reach. */
  readonly outside: readonly string[]
}

/** What a dialect needs to know of the options. */
export interface LabelOptions {
  /** Label namespace, `traefik` unless configured. */
  readonly prefix: string
  /** Domain of the default rule `Host:<service>.<domain>`; null: services without a rule get an error. */
  readonly domain: string | null
  readonly exposedByDefault: boolean
  /** Network used where a service names none; null: the first usable. */
  readonly network: string | null
  /** Traefik v1 constraints such as `tag==public`, all must hold. */
  readonly constraints: readonly string[]
  /** Absent or null: not known, and any address may be reachable. */
  readonly edges?: EdgeNetworks | null
}
