// Operations on the lab's swarm: it is created, checked, and services are created, changed and awaited. Calls go through any manager
// that answers, and are repeated during a leader election.

import { setTimeout as delay } from 'node:timers/promises'
import { until } from '../until.ts'
import { messageOf } from './command.ts'
import { call, DockerError } from './docker.ts'
import { type LabNode, MANAGERS, NODES } from './topology.ts'

export interface SwarmNode {
  readonly ID: string
  readonly Description: { readonly Hostname: string }
  readonly Spec: { readonly Labels?: Record<string, string>; readonly Role: string; readonly Availability: string }
  readonly Version: { readonly Index: number }
  readonly Status: { readonly State: string }
  readonly ManagerStatus?: { readonly Leader?: boolean; readonly Reachability: string; readonly Addr: string }
}

export interface SwarmService {
  readonly ID: string
  readonly Version: { readonly Index: number }
  readonly Spec: ServiceSpec
  readonly UpdateStatus?: { readonly State: string; readonly Message?: string }
}

/** A service spec of the API; only fields that the lab sets. */
export interface ServiceSpec {
  readonly Name: string
  readonly Labels?: Readonly<Record<string, string>>
  readonly TaskTemplate: {
    readonly ContainerSpec: { readonly Image: string; readonly Env?: readonly string[]; readonly [key: string]: unknown }
    readonly ForceUpdate?: number
    readonly [key: string]: unknown
  }
  readonly Mode: { readonly Replicated?: { readonly Replicas: number }; readonly Global?: Record<string, never> }
  readonly [key: string]: unknown
}

export interface SwarmTask {
  readonly ID: string
  readonly ServiceID: string
  readonly NodeID: string
  readonly DesiredState: string
  readonly Status: {
    readonly State: string
    readonly Timestamp: string
    readonly Err?: string
    readonly ContainerStatus?: { readonly ContainerID: string }
  }
  readonly Spec: { readonly ContainerSpec: { readonly Env?: readonly string[] }; readonly ForceUpdate?: number }
  readonly NetworksAttachments?: readonly { readonly Addresses?: readonly string[] }[]
}

/** Creates one swarm of all nodes. Their engines must answer. */
export async function formSwarm(): Promise<void> {
  const [first, ...others] = NODES
  if (first === undefined) return
  await call(first, 'POST', '/swarm/init', { ListenAddr: '0.0.0.0:2377', AdvertiseAddr: first.address }, 30_000)
  const { JoinTokens } = await call<{ JoinTokens: { Manager: string; Worker: string } }>(first, 'GET', '/swarm')
  const join = (node: LabNode): Promise<unknown> =>
    call(
      node,
      'POST',
      '/swarm/join',
      {
        ListenAddr: '0.0.0.0:2377',
        AdvertiseAddr: node.address,
        RemoteAddrs: [`${first.address}:2377`],
        JoinToken: node.manager ? JoinTokens.Manager : JoinTokens.Worker,
      },
      60_000,
    )
  const joinManagers = async (): Promise<void> => {
    // One by one, because each join changes the raft group.
    for (const node of others.filter(n => n.manager)) await join(node)
  }
  await Promise.all([joinManagers(), ...others.filter(n => !n.manager).map(join)])
}

/** Removes a node from the swarm by force, without a notice to the node: its containers may keep running. */
export async function removeNode(node: LabNode, managers: readonly LabNode[] = MANAGERS): Promise<void> {
  await anyManager(async manager => {
    const found = (await listNodes(manager)).filter(candidate => candidate.Description.Hostname === node.name)
    for (const { ID } of found) await call(manager, 'DELETE', `/nodes/${ID}?force=true`, undefined, 20_000)
  }, managers)
}

/** Lets a removed node, whose engine answers, join again in its role. heal() sets its labels. */
export async function rejoin(node: LabNode, manager: LabNode): Promise<void> {
  await call(node, 'POST', '/swarm/leave?force=true', undefined, 60_000).catch(() => {})
  await removeNode(node, [manager])
  const { JoinTokens } = await call<{ JoinTokens: { Manager: string; Worker: string } }>(manager, 'GET', '/swarm')
  const body = {
    ListenAddr: '0.0.0.0:2377',
    AdvertiseAddr: node.address,
    RemoteAddrs: [`${manager.address}:2377`],
    JoinToken: node.manager ? JoinTokens.Manager : JoinTokens.Worker,
  }
  await until(
    `${node.name} to join`,
    () =>
      call(node, 'POST', '/swarm/join', body, 60_000).then(
        () => true,
        (error: unknown) => error instanceof DockerError && /already part/.test(error.message),
      ),
    60_000,
    { everyMs: 1000 },
  )
}

/** Sets a node's labels (null removes one); sends nothing if they are unchanged. */
async function labelNode(node: LabNode, labels: Readonly<Record<string, string | null>>): Promise<void> {
  await anyManager(async manager => {
    const found = (await listNodes(manager)).find(candidate => candidate.Description.Hostname === node.name)
    if (found === undefined) throw new Error(`${node.name} has not joined`)
    const before = found.Spec.Labels ?? {}
    if (Object.entries(labels).every(([name, value]) => (before[name] ?? null) === value)) return
    const after = Object.entries({ ...before, ...labels }).filter(([, value]) => value !== null)
    const spec = { ...found.Spec, Labels: Object.fromEntries(after) }
    await call(manager, 'POST', `/nodes/${found.ID}/update?version=${found.Version.Index}`, spec)
  })
}

/** Sets the edge label on the edge nodes and on `more` (managers that take traffic too), and removes it from all other nodes. */
export async function labelEdges(more: readonly LabNode[] = []): Promise<void> {
  for (const node of NODES) await labelNode(node, { edge: node.edge || more.includes(node) ? 'true' : null })
}

/** Changes a label on every node, so that Swarm reconciles the services there. */
export async function nudgeNodes(): Promise<void> {
  for (const node of NODES) await labelNode(node, { 'skein.lab.nudged': String(Date.now()) })
}

/** `drain` moves a node's tasks elsewhere, `active` lets Swarm use it again; sends nothing if it is unchanged. */
export async function setAvailability(hostname: string, availability: 'active' | 'drain'): Promise<void> {
  await anyManager(async manager => {
    const node = (await listNodes(manager)).find(candidate => candidate.Description.Hostname === hostname)
    if (node === undefined) throw new Error(`the swarm has no node ${hostname}`)
    if (node.Spec.Availability === availability) return
    const spec = { ...node.Spec, Availability: availability }
    await call(manager, 'POST', `/nodes/${node.ID}/update?version=${node.Version.Index}`, spec)
  })
}

/**
 * Tries an operation on one manager after the other, in the given order, until one succeeds, also through an election. A refusal (4xx)
 * is final. @throws after `timeoutMs` or on a refusal
 */
export async function anyManager<T>(
  operation: (manager: LabNode) => Promise<T>,
  managers: readonly LabNode[] = MANAGERS,
  timeoutMs = 60_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    let last: unknown
    for (const manager of managers) {
      try {
        return await operation(manager)
      } catch (error) {
        // 503 is "not a manager" or "no leader"; "out of sequence" means that another write came first, so it is read again.
        if (error instanceof DockerError && error.status < 500) throw error
        last = error
      }
    }
    if (performance.now() > deadline) throw new Error(`no manager carried out the operation: ${messageOf(last)}`)
    await delay(200)
  }
}

export function listNodes(manager: LabNode): Promise<SwarmNode[]> {
  return call<SwarmNode[]>(manager, 'GET', '/nodes', undefined, 3000)
}

/** The leading manager. */
export async function leadingManager(): Promise<LabNode> {
  return until(
    'a leading manager',
    async () => {
      const nodes = await anyManager(listNodes, MANAGERS, 30_000)
      const leader = nodes.find(node => node.ManagerStatus?.Leader === true && node.Status.State === 'ready')
      return MANAGERS.find(node => node.name === leader?.Description.Hostname) ?? null
    },
    60_000,
    { everyMs: 100 },
  )
}

/** Waits until all nodes are ready, all managers are reachable, and one leads. */
export async function waitForSwarm(timeoutMs = 90_000): Promise<void> {
  await until(
    'all nodes to be ready',
    async () => {
      for (const manager of MANAGERS) {
        const nodes = await listNodes(manager)
        const bad = nodes.filter(
          node => node.Status.State !== 'ready' || (node.ManagerStatus && node.ManagerStatus.Reachability !== 'reachable'),
        )
        if (nodes.length < NODES.length || !nodes.some(node => node.ManagerStatus?.Leader))
          throw new Error(`${manager.name} does not see a complete swarm`)
        if (bad.length > 0) throw new Error(`${manager.name} sees ${bad.map(n => n.Description.Hostname).join(', ')} not ready`)
      }
      return true
    },
    timeoutMs,
    { everyMs: 250 },
  )
}

/** Creates a service; resolves with its id once the API has answered. */
export async function createService(spec: ServiceSpec, managers: readonly LabNode[] = MANAGERS): Promise<string> {
  return anyManager(async manager => {
    const existing = (await listServices(manager)).find(service => service.Spec.Name === spec.Name)
    // An earlier attempt that timed out may have succeeded.
    if (existing !== undefined) return existing.ID
    return (await call<{ ID: string }>(manager, 'POST', '/services/create', spec, 10_000)).ID
  }, managers)
}

export function listServices(manager: LabNode): Promise<SwarmService[]> {
  return call<SwarmService[]>(manager, 'GET', '/services')
}

export function inspectService(id: string, managers: readonly LabNode[] = MANAGERS): Promise<SwarmService> {
  return anyManager(manager => call<SwarmService>(manager, 'GET', `/services/${id}`), managers)
}

/** Changes a service's spec: read and written through one manager, repeated if another write came in between. */
export async function updateService(
  id: string,
  change: (spec: ServiceSpec) => ServiceSpec,
  managers: readonly LabNode[] = MANAGERS,
): Promise<void> {
  await anyManager(async manager => {
    const service = await call<SwarmService>(manager, 'GET', `/services/${id}`)
    await call(manager, 'POST', `/services/${id}/update?version=${service.Version.Index}`, change(service.Spec), 10_000)
  }, managers)
}

/** A spec that replaces all tasks of a service, as `docker service update --force` does. */
export function forced(spec: ServiceSpec): ServiceSpec {
  return { ...spec, TaskTemplate: { ...spec.TaskTemplate, ForceUpdate: (spec.TaskTemplate.ForceUpdate ?? 0) + 1 } }
}

/** Replaces all tasks of a service. */
export function rollService(id: string, managers: readonly LabNode[] = MANAGERS): Promise<void> {
  return updateService(id, forced, managers)
}

export async function removeService(id: string): Promise<void> {
  await anyManager(manager => call(manager, 'DELETE', `/services/${id}`)).catch((error: unknown) => {
    if (!(error instanceof DockerError && error.status === 404)) throw error
  })
}

export function tasksOf(serviceId: string, managers: readonly LabNode[] = MANAGERS): Promise<SwarmTask[]> {
  const filters = encodeURIComponent(JSON.stringify({ service: [serviceId] }))
  return anyManager(manager => call<SwarmTask[]>(manager, 'GET', `/tasks?filters=${filters}`), managers)
}

/** Waits until exactly `count` tasks of the service are desired and run, and no other task runs. */
export async function waitForTasks(
  serviceId: string,
  count: number,
  timeoutMs: number,
  managers: readonly LabNode[] = MANAGERS,
): Promise<SwarmTask[]> {
  return until(
    `${count} running tasks`,
    async () => {
      const tasks = await tasksOf(serviceId, managers)
      const wanted = tasks.filter(task => task.DesiredState === 'running')
      const failed = tasks.find(task => task.Status.Err !== undefined && task.Status.Err !== '')
      const running = tasks.filter(task => task.Status.State === 'running')
      if (wanted.length === count && running.length === count && wanted.every(task => task.Status.State === 'running'))
        return wanted
      throw new Error(
        `${tasks.map(t => `${t.DesiredState}/${t.Status.State}`).join(' ')}${failed ? ` (${failed.Status.Err})` : ''}`,
      )
    },
    timeoutMs,
    { everyMs: 100 },
  )
}

/** Waits until a rolling update has ended. @throws if Swarm paused it or rolled it back */
export async function waitForUpdate(
  serviceId: string,
  timeoutMs: number,
  managers: readonly LabNode[] = MANAGERS,
): Promise<void> {
  await until(
    'the update to complete',
    async () => (await inspectService(serviceId, managers)).UpdateStatus?.State === 'completed',
    timeoutMs,
    { everyMs: 100 },
  )
}
