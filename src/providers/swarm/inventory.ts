// The known state of the swarm (nodes, services, networks, relevant tasks), combined from several reads and turned into
// discovered services. Pure; the clock is passed in.
//
// Only tasks with the desired state `running` are read, because Swarm keeps five ended tasks per slot. A task that was
// active and is missing from the answer is being stopped. It drains from that moment, about three seconds before its
// SIGTERM, and stays listed until it has ended.

import type { DiscoveredInstance, DiscoveredService } from '../../labels/shared/discovered.ts'
import type { DockerNetwork, DockerNode, DockerService, DockerTask } from '../docker-api/schemas.ts'

/** A task that starts for longer than this no longer causes fast polling (image cannot be pulled, no suitable node), ms. */
const TRANSITION_MS = 60_000
/** A draining task on a dead node never ends. After this time it is read only with the full list, ms. */
const DRAIN_WATCH_MS = 60_000
const ENDED: ReadonlySet<string> = new Set(['complete', 'shutdown', 'failed', 'rejected', 'remove', 'orphaned'])

export interface TaskRead {
  /** Services whose tasks were read; null: all. */
  readonly scope: readonly string[] | null
  /** Tasks with desired state `running`. */
  readonly items: readonly DockerTask[]
  /** Malformed tasks in the answer; they keep their state. */
  readonly skipped: readonly string[]
}

export interface InventoryRead {
  readonly nodes?: readonly DockerNode[]
  readonly services?: { readonly items: readonly DockerService[]; readonly skipped: readonly string[] }
  readonly networks?: readonly DockerNetwork[]
  readonly tasks?: TaskRead
  /** Draining tasks, read by id in any state; those missing from the answer have been removed. */
  readonly drained?: { readonly asked: readonly string[]; readonly items: readonly DockerTask[] }
}

interface Tracked {
  task: DockerTask
  state: 'starting' | 'active' | 'draining'
  since: number
}

export interface Inventory {
  apply(read: InventoryRead, nowMs: number): void
  /** Sorted by name, instances by id: equal swarms give equal lists. */
  discovered(provider: string): readonly DiscoveredService[]
  /** Services with an update, a starting or a draining task. */
  busyServices(nowMs: number): readonly string[]
  /** Ids of draining tasks to read; `all` includes those that have been draining for long. */
  draining(nowMs: number, all: boolean): readonly string[]
  /** True when a task names a service or a node that no read has returned yet. */
  incomplete(): boolean
  nodes(): ReadonlyMap<string, DockerNode>
  services(): ReadonlyMap<string, DockerService>
  networks(): ReadonlyMap<string, DockerNetwork>
  /** Tasks that are running. */
  activeTasks(): readonly DockerTask[]
  /** Running and starting tasks. A task of a service with a health check starts until its first check succeeds. */
  presentTasks(): readonly DockerTask[]
  /** Forgets everything, before a new leader's first read: the old state is too old to be combined with it. */
  reset(): void
}

export function createInventory(): Inventory {
  let nodes: ReadonlyMap<string, DockerNode> = new Map()
  let services: ReadonlyMap<string, DockerService> = new Map()
  let networks: ReadonlyMap<string, DockerNetwork> = new Map()
  const tracked = new Map<string, Tracked>()

  function applyTasks(read: TaskRead, nowMs: number): void {
    const seen = new Set<string>(read.skipped)
    for (const task of read.items) {
      seen.add(task.ID)
      const before = tracked.get(task.ID)
      const state = task.DesiredState !== 'running' ? 'draining' : task.Status.State === 'running' ? 'active' : 'starting'
      if (before === undefined) {
        if (state !== 'draining') tracked.set(task.ID, { task, state, since: nowMs })
      } else if (before.state === 'active' || state !== 'draining') {
        tracked.set(task.ID, { task, state, since: before.state === state ? before.since : nowMs })
      } else if (before.state === 'starting') tracked.delete(task.ID)
    }
    const scope = read.scope === null ? null : new Set(read.scope)
    for (const [id, entry] of tracked) {
      if (seen.has(id) || entry.state === 'draining' || (scope !== null && !scope.has(entry.task.ServiceID))) continue
      if (entry.state === 'active') tracked.set(id, { task: entry.task, state: 'draining', since: nowMs })
      else tracked.delete(id)
    }
  }

  return {
    apply(read, nowMs) {
      if (read.nodes !== undefined) nodes = new Map(read.nodes.map(node => [node.ID, node]))
      if (read.services !== undefined) {
        const kept = read.services.skipped.flatMap(id => services.get(id) ?? [])
        services = new Map([...kept, ...read.services.items].map(service => [service.ID, service]))
      }
      if (read.networks !== undefined) networks = new Map(read.networks.map(network => [network.Id, network]))
      if (read.tasks !== undefined) applyTasks(read.tasks, nowMs)
      if (read.drained !== undefined) {
        const still = new Map(read.drained.items.map(task => [task.ID, task]))
        for (const id of read.drained.asked) {
          const entry = tracked.get(id)
          const task = still.get(id)
          if (entry?.state !== 'draining') continue
          if (task === undefined || ENDED.has(task.Status.State)) tracked.delete(id)
          else entry.task = task
        }
      }
    },
    discovered(provider) {
      const byService = new Map<string, Tracked[]>()
      for (const entry of tracked.values()) {
        if (entry.state === 'starting') continue
        const list = byService.get(entry.task.ServiceID)
        if (list === undefined) byService.set(entry.task.ServiceID, [entry])
        else list.push(entry)
      }
      return [...services.values()]
        .sort((a, b) => compare(a.Spec.Name, b.Spec.Name) || compare(a.ID, b.ID))
        .map(service => discover(provider, service, byService.get(service.ID) ?? [], nodes, networks))
    },
    busyServices(nowMs) {
      const busy = new Set<string>()
      for (const service of services.values()) if (isUpdating(service)) busy.add(service.ID)
      for (const { task, state, since } of tracked.values()) {
        if (state === 'starting' && nowMs - since < TRANSITION_MS) busy.add(task.ServiceID)
        if (state === 'draining' && nowMs - since < DRAIN_WATCH_MS) busy.add(task.ServiceID)
      }
      return [...busy]
    },
    draining(nowMs, all) {
      const ids: string[] = []
      for (const [id, { state, since }] of tracked)
        if (state === 'draining' && (all || nowMs - since < DRAIN_WATCH_MS)) ids.push(id)
      return ids
    },
    incomplete() {
      for (const { task, state } of tracked.values()) {
        if (state === 'draining') continue
        if (!services.has(task.ServiceID) || (task.NodeID !== '' && !nodes.has(task.NodeID))) return true
      }
      return false
    },
    nodes: () => nodes,
    services: () => services,
    networks: () => networks,
    activeTasks: () => [...tracked.values()].filter(entry => entry.state === 'active').map(entry => entry.task),
    presentTasks: () => [...tracked.values()].filter(entry => entry.state !== 'draining').map(entry => entry.task),
    reset() {
      nodes = new Map()
      services = new Map()
      networks = new Map()
      tracked.clear()
    },
  }
}

function isUpdating(service: DockerService): boolean {
  const state = service.UpdateStatus?.State ?? ''
  return state === 'updating' || state === 'rollback_started'
}

function discover(
  provider: string,
  service: DockerService,
  entries: readonly Tracked[],
  nodes: ReadonlyMap<string, DockerNode>,
  networks: ReadonlyMap<string, DockerNetwork>,
): DiscoveredService {
  // A task without an address is listed too; the dialect reports it.
  const listed = entries.map(entry => ({ entry, addresses: addressesOf(entry.task, networks) }))
  // A node that the managers report as down may only be cut off from them; its containers may still serve. While Swarm runs no
  // other task of the service, they stay in rotation, and the data plane finds out whether they answer.
  const noOtherTask = !listed.some(({ entry, addresses }) => entry.state === 'active' && addresses.length > 0)
  const instances: DiscoveredInstance[] = listed.map(({ entry, addresses }) => {
    const node = nodes.get(entry.task.NodeID)
    const lastResort = noOtherTask && node?.Status.State === 'down' && entry.task.Status.State === 'running'
    return {
      id: entry.task.ID,
      node: node?.Description.Hostname ?? '',
      state: entry.state === 'active' || lastResort ? 'active' : 'draining',
      addresses,
    }
  })
  instances.sort((a, b) => compare(a.id, b.id))
  const virtualIps = (service.Endpoint?.VirtualIPs ?? [])
    .filter(vip => vip.Addr !== '' && networks.get(vip.NetworkID)?.Ingress !== true)
    .map(vip => ({
      networkId: vip.NetworkID,
      network: networks.get(vip.NetworkID)?.Name ?? '',
      address: withoutPrefix(vip.Addr),
    }))
  const ports = [...(service.Endpoint?.Ports ?? []), ...(service.Spec.EndpointSpec?.Ports ?? [])]
    .filter(port => port.Protocol === '' || port.Protocol === 'tcp')
    .map(port => port.TargetPort ?? 0)
    .filter(port => port > 0)
  return {
    provider,
    id: service.ID,
    name: service.Spec.Name,
    labels: service.Spec.Labels,
    instances,
    virtualIps,
    ports: [...new Set(ports)].sort((a, b) => a - b),
    updating: isUpdating(service),
    ...(service.Spec.Mode?.Replicated?.Replicas === 0 ? { scaledToZero: true } : {}),
  }
}

/** The ingress network is left out: a proxy beside it reaches the routing mesh there, not the task. */
function addressesOf(task: DockerTask, networks: ReadonlyMap<string, DockerNetwork>): DiscoveredInstance['addresses'] {
  return task.NetworksAttachments.flatMap(({ Network, Addresses }) => {
    const address = Addresses[0]
    if (address === undefined || address === '' || Network.Spec.Ingress === true || networks.get(Network.ID)?.Ingress === true)
      return []
    return [
      {
        networkId: Network.ID,
        network: Network.Spec.Name || (networks.get(Network.ID)?.Name ?? ''),
        address: withoutPrefix(address),
      },
    ]
  })
}

function withoutPrefix(address: string): string {
  const slash = address.indexOf('/')
  return slash === -1 ? address : address.slice(0, slash)
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
