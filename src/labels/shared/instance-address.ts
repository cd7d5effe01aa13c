// Chooses the address of each instance of a service: on the network that the service's label or the options name, else the
// first that an edge can reach and that is not the ingress network. Specification: Traefik 1.7's provider/docker/config.go
// (getIPAddress). Two differences: where a label names a network that the task is not on, v1 takes any address and Skein leaves
// the task out; and an address on a network that no edge is on is never used, where the networks of the edges are known.

import { isIP } from 'node:net'
import type { Addressing, DiscoveredService, NetworkAddress } from './discovered.ts'
import type { LabelSet } from './label-set.ts'

export interface Endpoint {
  /** The id of a task, or of the service for a virtual IP. */
  readonly id: string
  readonly address: string
  readonly node: string
  readonly state: 'active' | 'draining'
}

export interface Endpoints {
  readonly list: readonly Endpoint[]
  /** There are tasks, none of them can be reached, and no update of the service is under way that might change that. */
  readonly sharesNoNetwork: boolean
}

/** The labels of a dialect that choose addresses. */
export interface AddressLabels<Name extends string> {
  /** Names the network. */
  readonly network: Name
  /** Asks for the virtual IP instead of the tasks' addresses. */
  readonly virtualIp: Name
}

const ANY_ADDRESS: Addressing = { network: null, edges: null }
const STACK_LABEL = 'com.docker.stack.namespace'

/**
 * The addresses of a service's instances, or its virtual IP where a label asks for it. Instances without a usable address are
 * left out with an error.
 */
export function endpointsOf<Name extends string>(
  service: DiscoveredService,
  labels: LabelSet<Name>,
  names: AddressLabels<Name>,
): Endpoints {
  const wanted = labels.text(names.network)
  const addressing = service.addressing ?? ANY_ADDRESS
  if (labels.bool(names.virtualIp, false)) {
    const chosen = choose(service.virtualIps, service, wanted, addressing)
    if (chosen !== null) {
      return { list: [{ id: service.id, address: chosen.address, node: '', state: 'active' }], sharesNoNetwork: false }
    }
    const key = labels.key(names.virtualIp)
    if (service.virtualIps.length === 0) {
      labels.report.warn(key, 'true', 'expected a service with virtual IPs (endpoint mode vip); its tasks are used instead')
    } else {
      const expected = `expected a virtual IP on ${describeNetwork(wanted, addressing)}`
      labels.report.error(key, 'true', `${expected}; it has ${listNetworks(service.virtualIps)}`)
      return { list: [], sharesNoNetwork: !service.updating }
    }
  }
  const list: Endpoint[] = []
  let missing = 0
  let example: readonly NetworkAddress[] = []
  let assumption: string | null = null
  for (const instance of service.instances) {
    const chosen = choose(instance.addresses, service, wanted, addressing)
    if (chosen !== null) {
      list.push({ id: instance.id, address: chosen.address, node: instance.node, state: instance.state })
      if (chosen.assumption !== null) assumption = chosen.assumption
    } else if (instance.state === 'active') {
      missing++
      example = instance.addresses
    }
  }
  if (assumption !== null) labels.report.warn(labels.key(names.network), wanted ?? addressing.network ?? '', assumption)
  if (missing > 0) {
    const count = `${missing} of ${service.instances.length} tasks have ${listNetworks(example)} and were left out`
    labels.report.error(
      labels.key(names.network),
      wanted ?? '',
      `expected an address on ${describeNetwork(wanted, addressing)}; ${count}`,
    )
  }
  return { list, sharesNoNetwork: list.length === 0 && missing > 0 && !service.updating }
}

/** The wanted network, for messages. */
function describeNetwork(wanted: string | null, { edges }: Addressing): string {
  const shared = edges == null ? '' : ` that the edges are on (${edges.names.join(', ')})`
  if (wanted === null) return edges == null ? 'a network shared with the edge' : `a network${shared}`
  return edges == null || edges.names.includes(wanted) ? `network '${wanted}'` : `network '${wanted}', and one${shared}`
}

interface Choice {
  readonly address: string
  /** The warning about an assumption; null: none was made. */
  readonly assumption: string | null
}

function choose(
  all: readonly NetworkAddress[],
  service: DiscoveredService,
  wanted: string | null,
  addressing: Addressing,
): Choice | null {
  const outside = addressing.edges?.outside ?? []
  const usable = all.filter(a => isIP(a.address) !== 0 && !outside.includes(a.networkId))
  if (wanted !== null) {
    const exact = usable.find(a => a.network === wanted || a.networkId === wanted)
    if (exact !== undefined) return { address: exact.address, assumption: null }
    const stack = service.labels[STACK_LABEL]
    const prefixed = stack === undefined ? undefined : usable.find(a => a.network === `${stack}_${wanted}`)
    if (prefixed === undefined) return null
    return { address: prefixed.address, assumption: `expected a network's full name; '${prefixed.network}' is used` }
  }
  const preferred =
    addressing.network === null
      ? undefined
      : usable.find(a => a.network === addressing.network || a.networkId === addressing.network)
  if (preferred !== undefined) return { address: preferred.address, assumption: null }
  const first = usable.find(a => a.network !== 'ingress') ?? usable[0]
  if (first === undefined) return null
  const assumption =
    addressing.network === null
      ? null
      : `expected an address on network '${addressing.network}'; that on '${first.network}' is used`
  return { address: first.address, assumption }
}

function listNetworks(all: readonly NetworkAddress[]): string {
  if (all.length === 0) return 'no address (the service has joined no network but the ingress)'
  const named = all.map(
    a => `'${a.network}'${isIP(a.address) === 0 ? ` (${JSON.stringify(a.address.slice(0, 60))} is not an address)` : ''}`,
  )
  return `addresses on ${named.join(', ')} only`
}
