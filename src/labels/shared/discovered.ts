// The input of the label dialects: a service as a provider found it, with its name, labels and instances. Providers fill it in,
// dialects turn it into routers, services and middlewares, and neither depends on the other.

import type { Server } from '../../config/model.ts'

/** One address of an instance, with the network that it belongs to. */
export interface NetworkAddress {
  readonly networkId: string
  readonly network: string
  /** Without a prefix length. */
  readonly address: string
}

/** One instance of a service (a Swarm task, a container) with its addresses. */
export interface DiscoveredInstance {
  /** Task or container id. */
  readonly id: string
  /** Hostname of the node, or '' when unknown. */
  readonly node: string
  /** `draining` from the moment the desired state leaves `running`. Such an instance is listed until its process has ended. */
  readonly state: 'active' | 'draining'
  /** In the order of the source. Empty: the instance is on no usable network. */
  readonly addresses: readonly NetworkAddress[]
}

export interface DiscoveredService {
  readonly provider: string
  readonly id: string
  /** The service's full name, e.g. `shop_web` for service `web` of stack `shop`. */
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly instances: readonly DiscoveredInstance[]
  /** Virtual IPs of a Swarm service (endpoint mode vip); used only for `traefik.backend.loadbalancer.swarm=true`. */
  readonly virtualIps: readonly NetworkAddress[]
  /** Container ports that the service publishes or exposes, ascending. A dialect may use the lowest when no label names one. */
  readonly ports: readonly number[]
  /** True while the source replaces instances (an update is under way). */
  readonly updating: boolean
  /** True for a replicated service that is scaled to 0. */
  readonly scaledToZero?: boolean
  /** The servers, where the source lists them by URL and weight. Instances and ports are ignored then. */
  readonly servers?: readonly Server[]
  /** Which of several addresses to use; absent: the first. Services of one source share one object. */
  readonly addressing?: Addressing
}

/** How the address of an instance is chosen when a service does not name a network. Set by the source. */
export interface Addressing {
  /** Name or id of the network to prefer; null: the first usable. */
  readonly network: string | null
  /** null: unknown, and any address may be reachable. */
  readonly edges: EdgeNetworks | null
}

/** The networks that the replicas are on, and those that none of them is on. */
export interface EdgeNetworks {
  /** Names for messages, sorted. */
  readonly names: readonly string[]
  /** Ids of networks whose addresses no replica can reach. */
  readonly outside: readonly string[]
}
