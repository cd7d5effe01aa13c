// Finds out which networks the replicas are on. A service whose tasks share no network with them cannot be reached: it is
// reported as an error. Two sources are combined:
// - the swarm: tasks of this replica's own service, and of the services whose tasks have the addresses (or run on the
// nodes) of the other members;
// - the interfaces of the replicas: a replica attached by `docker network connect` or started by `docker run` is on
// networks that no task shows.
// The result is null, and every address is tried, where a replica is not a task of this swarm, is on a network without a
// known reach (host, macvlan), or does not announce its interfaces. Pure except for the services that it remembers.

import { BlockList, isIP } from 'node:net'
import type { EdgeNetworks } from '../../labels/shared/discovered.ts'
import type { DockerNetwork, DockerTask } from '../docker-api/schemas.ts'
import type { OtherMember } from '../shared/provider.ts'
import type { Swarm } from './sibling-replicas.ts'

export interface EdgeNetworkTracker {
  /** `service`: id of the service of this replica, '' when it is no task. `own`: addresses of its interfaces, `10.0.1.7/24`. */
  read(
    swarm: Swarm,
    networks: ReadonlyMap<string, DockerNetwork>,
    service: string,
    members: readonly OtherMember[],
    own: readonly string[],
  ): EdgeNetworks | null
}

export function createEdgeNetworkTracker(): EdgeNetworkTracker {
  /** Service of each other member by its addresses. A member on a node that Swarm counts as lost has no active task any more. */
  let known: ReadonlyMap<string, string> = new Map()

  return {
    read(swarm, networks, service, members, interfaces) {
      if (service === '') return null
      const services = new Set([service])
      const tasks = swarm.tasks.filter(task => task.ServiceID === service)
      const own = addressesOf(tasks)
      const hosts = new Set(tasks.map(task => swarm.nodes.get(task.NodeID)?.Description.Hostname))
      let all: ReadonlyMap<string, string> | null = null
      const next = new Map<string, string>()
      const subnets = new BlockList()
      addSubnets(subnets, interfaces)
      for (const { name, addresses, networks: announced } of members) {
        if (announced === null) return null
        addSubnets(subnets, announced)
        const key = `${name} ${addresses.join()}`
        let of = known.get(key)
        if (addresses.some(address => own.has(address)) || hosts.has(name.replace(/~.*$/, ''))) of = service
        else {
          const owners = (all ??= addressesOf(swarm.tasks))
          of = addresses.map(address => owners.get(address)).find(id => id !== undefined) ?? of
        }
        if (of === undefined) return null
        next.set(key, of)
        services.add(of)
      }
      known = next
      return networksOf(swarm, networks, services, subnets)
    },
  }
}

function addSubnets(subnets: BlockList, cidrs: readonly string[]): void {
  for (const cidr of cidrs) {
    const [address = '', prefix = ''] = cidr.split('/')
    const family = isIP(address)
    if (family === 0 || !/^\d{1,3}$/.test(prefix) || Number(prefix) > (family === 4 ? 32 : 128)) continue
    subnets.addSubnet(address, Number(prefix), family === 4 ? 'ipv4' : 'ipv6')
  }
}

function contains(subnets: BlockList, address: string): boolean {
  const family = isIP(address)
  return family !== 0 && subnets.check(address, family === 4 ? 'ipv4' : 'ipv6')
}

/** Service id by address. */
function addressesOf(tasks: readonly DockerTask[]): ReadonlyMap<string, string> {
  const all = new Map<string, string>()
  for (const task of tasks) {
    for (const { Addresses } of task.NetworksAttachments) for (const address of Addresses) all.set(bare(address), task.ServiceID)
  }
  return all
}

function networksOf(
  swarm: Swarm,
  networks: ReadonlyMap<string, DockerNetwork>,
  services: ReadonlySet<string>,
  subnets: BlockList,
): EdgeNetworks | null {
  const joined = new Map<string, string>()
  for (const task of swarm.tasks) {
    if (!services.has(task.ServiceID)) continue
    for (const { Network, Addresses } of task.NetworksAttachments) {
      const network = networks.get(Network.ID)
      if (network === undefined || !isOverlay(network) || Addresses.length === 0) return null
      if (network.Ingress !== true) joined.set(network.Id, network.Name)
    }
  }
  if (joined.size === 0) return null
  for (const { NetworksAttachments } of swarm.tasks) {
    for (const { Network, Addresses } of NetworksAttachments) {
      const network = networks.get(Network.ID)
      if (network === undefined || !isOverlay(network) || network.Ingress === true || joined.has(network.Id)) continue
      if (Addresses.some(address => contains(subnets, bare(address)))) joined.set(network.Id, network.Name)
    }
  }
  const outside = [...networks.values()]
    .filter(network => isOverlay(network) && network.Ingress !== true && !joined.has(network.Id))
    .map(({ Id }) => Id)
    .sort()
  return { names: [...joined.values()].sort(), outside }
}

function bare(address: string): string {
  return address.replace(/\/.*$/, '')
}

/** An address on an overlay network is reachable only from containers on the same network. */
function isOverlay({ Driver, Scope }: DockerNetwork): boolean {
  return Driver === 'overlay' && Scope === 'swarm'
}
