// An emulated Docker swarm: managers and workers that answer the Docker Engine API from one shared state, and controls for demos
// and tests. Its timing and behaviour are those measured on a real swarm; the cases of test/swarm/cases run against both.

import { AddressPools, formatIpv4, parseIpv4 } from './address-pool.ts'
import { type Clock, createClock, Timers } from './clock.ts'
import type { NodeObject, ServiceObject, ServiceSpec, SwarmNetwork, TaskObject } from './docker-objects.ts'
import { findNode, findService } from './filters.ts'
import { Orchestrator } from './orchestrator.ts'
import { type ManagerState, Raft } from './raft.ts'
import { ApiServer } from './server.ts'
import { endpointOf, forced, replicasOf, type ServiceRequest, specOf, withDefaults } from './service-spec.ts'
import { createId, type Fresh, idFrom, Store, type Tables } from './store.ts'
import type { TaskRunner } from './task-runner.ts'
import { Tasks } from './tasks.ts'
import { realTiming, type Timing } from './timing.ts'
import { isOutOfDate, Updater } from './updater.ts'

export interface EmulatedSwarmOptions {
  /** Default 3. */
  readonly managers?: number
  /** Default 3. */
  readonly workers?: number
  /** Default: the machine's clock. With `createClock(10)` the swarm runs ten times as fast. */
  readonly clock?: Clock
  readonly timing?: Partial<Timing>
  /** Runs the processes of tasks; default: none, tasks exist in the API only. */
  readonly runner?: TaskRunner
  /** Managers run no tasks (availability drain). Default false. */
  readonly dedicatedManagers?: boolean
  /** Networks that exist at the start: name to subnet, e.g. `{ web: '127.42.0.0/16' }`. */
  readonly networks?: Readonly<Record<string, string>>
  /** The nodes' addresses are this prefix and 1, 2, ...; default `127.0.0.` (on Linux all of 127.0.0.0/8 is local). */
  readonly addressPrefix?: string
  /** Seed of the nodes' identifiers, the same ones in every run; default: random identifiers. */
  readonly nodeIdSeed?: string
}

export interface ListenOptions {
  /** The port of every node's API, each on its node's address; default 0: a port that is free on all addresses. */
  readonly port?: number
}

export interface EmulatedSwarm {
  /** The nodes' names, managers first: `m1`, `m2`, ..., `w1`, ... */
  readonly nodes: readonly string[]
  readonly state: Tables
  /**
   * Starts every node's API; resolves with the addresses (`tcp://127.0.0.1:2375`). Rejects with EADDRINUSE and the port if one is in
   * use.
   */
  listen(options?: ListenOptions): Promise<{ readonly managers: readonly string[]; readonly workers: readonly string[] }>
  /** Ends all servers, timers and tasks. */
  close(): Promise<void>
  /** The name of the leading manager; null while there is none. */
  leader(): string | null
  /** All managers with their states, in order. */
  managerStates(): readonly { readonly name: string; readonly state: ManagerState }[]
  /**
   * Stops a manager's daemon. `down`: connections are refused; `hung`: connections are accepted and not answered. Its tasks keep
   * running; the swarm marks the node as down after `nodeDeadMs`.
   */
  killManager(name: string, how?: 'down' | 'hung'): Promise<void>
  reviveManager(name: string): Promise<void>
  /** Kills a node with its tasks. `vanish`: only its link is down, so connections are neither answered nor reset. */
  killNode(name: string, how?: 'kill' | 'vanish'): Promise<void>
  reviveNode(name: string): Promise<void>
  /** While on, the manager answers from the state at the time of this call, like a stale manager. */
  setStale(name: string, stale: boolean): void
  /** While on, the manager's event streams stay open and deliver no events. */
  setEventsSuppressed(name: string, suppressed: boolean): void
  /** The number of API calls to a node so far, by path without its version; none before `listen`. */
  calls(name: string): ReadonlyMap<string, number>
  createNetwork(name: string, subnet: string): SwarmNetwork
  createService(request: ServiceRequest): ServiceObject
  /** Replaces the spec of a service, and rolls it if the task template changed. Throws for an unknown name. */
  updateService(name: string, change: (spec: ServiceSpec) => ServiceSpec): ServiceObject
  /** Rolls a service without a change, like `docker service update --force`. */
  roll(name: string): ServiceObject
  scale(name: string, replicas: number): ServiceObject
  removeService(name: string): void
  setAvailability(node: string, availability: 'active' | 'drain'): void
  /** Ends a task's process, like `docker kill`. */
  killTask(id: string): void
  /** The tasks of a service whose desired state is running or ready, oldest first. */
  tasks(service: string): readonly TaskObject[]
  /** Resolves when every service has the desired number of running tasks and no update is in progress. */
  settled(): Promise<void>
}

export function createEmulatedSwarm(options: EmulatedSwarmOptions = {}): EmulatedSwarm {
  const timing = { ...realTiming, ...options.timing }
  const timers = new Timers(options.clock ?? createClock())
  const store = new Store(timers)
  const managerNames = Array.from({ length: options.managers ?? 3 }, (_, i) => `m${i + 1}`)
  const workerNames = Array.from({ length: options.workers ?? 3 }, (_, i) => `w${i + 1}`)
  const names = [...managerNames, ...workerNames]
  const raft = new Raft(managerNames, timers, timing)
  const pools = new AddressPools()
  const tasks = new Tasks(store, raft, timers, timing, options.runner ?? null, pools)
  const orchestrator = new Orchestrator(store, tasks, timers)
  const updater = new Updater(store, tasks, orchestrator, raft, timers, timing)
  const servers = new Map<string, ApiServer>()
  const stale = new Map<string, Tables>()
  const eventsSuppressed = new Set<string>()
  const clusterId = options.nodeIdSeed === undefined ? createId() : idFrom(`${options.nodeIdSeed}/cluster`)
  const downTimers = new Map<string, () => void>()

  for (const [index, name] of names.entries()) {
    const isManager = index < managerNames.length
    const address = `${options.addressPrefix ?? '127.0.0.'}${index + 1}`
    const node = {
      Spec: {
        Labels: {},
        Role: isManager ? 'manager' : 'worker',
        Availability: isManager && options.dedicatedManagers === true ? 'drain' : 'active',
      },
      Description: {
        Hostname: name,
        Platform: { Architecture: 'x86_64', OS: 'linux' },
        Resources: { NanoCPUs: 2_000_000_000, MemoryBytes: 4_294_967_296 },
        Engine: { EngineVersion: '20.10.24' },
      },
      Status: { State: 'ready', Addr: address },
      ...(isManager
        ? {
            ManagerStatus: {
              ...(raft.leader === name ? { Leader: true as const } : {}),
              Reachability: 'reachable' as const,
              Addr: `${address}:2377`,
            },
          }
        : {}),
    } satisfies Fresh<NodeObject>
    store.insert(store.nodes, node, options.nodeIdSeed === undefined ? createId() : idFrom(`${options.nodeIdSeed}/${name}`))
  }
  const createNetwork = (name: string, subnet: string, more: Partial<SwarmNetwork['Spec']> = {}): SwarmNetwork => {
    const network = store.insert(store.networks, {
      Spec: { Name: name, Labels: {}, DriverConfiguration: { Name: 'overlay' }, Attachable: true, Scope: 'swarm', ...more },
      DriverState: {
        Name: 'overlay',
        Options: { 'com.docker.network.driver.overlay.vxlanid_list': String(4096 + store.networks.size) },
      },
      IPAMOptions: { Driver: { Name: 'default' }, Configs: [{ Subnet: subnet, Gateway: formatIpv4(parseIpv4(subnet) + 1) }] },
    })
    store.emit('network', 'create', network.ID, { name })
    store.emit('network', 'update', network.ID, { name })
    return network
  }
  createNetwork('ingress', '10.0.0.0/24', { Ingress: true, Attachable: false })
  for (const [name, subnet] of Object.entries(options.networks ?? {})) createNetwork(name, subnet)

  const nodeId = (name: string): string => {
    const node = findNode(store, name)
    if (node === undefined) throw new Error(`no node ${name} in the emulated swarm`)
    return node.ID
  }
  const addressOf = (name: string): string => store.nodes.get(nodeId(name))?.Status.Addr ?? ''
  const setNode = (name: string, change: (node: NodeObject) => Partial<NodeObject>, attributes: Record<string, string>): void => {
    const id = nodeId(name)
    store.update(store.nodes, id, change)
    store.emit('node', 'update', id, { name, ...attributes })
  }
  const setNodeState = (name: string, state: 'ready' | 'down'): void => {
    const old = store.nodes.get(nodeId(name))?.Status.State
    if (old === undefined || old === state) return
    const Message = state === 'down' ? 'heartbeat failure' : ''
    setNode(name, node => ({ Status: { ...node.Status, State: state, Message } }), { 'state.new': state, 'state.old': old })
    if (state === 'down') {
      const lost = tasks.on(nodeId(name)).filter(task => task.DesiredState === 'running' || task.DesiredState === 'ready')
      tasks.abandon(nodeId(name))
      for (const serviceId of new Set(lost.map(task => task.ServiceID))) orchestrator.reconcile(serviceId)
    } else {
      tasks.reclaim(nodeId(name))
      orchestrator.reconcileAll()
    }
  }
  const updateManagerStatus = (): void => {
    for (const name of managerNames) {
      const status = store.nodes.get(nodeId(name))?.ManagerStatus
      if (status === undefined || raft.leader === null) continue
      const Reachability = raft.state(name) === 'up' || raft.state(name) === 'catching-up' ? 'reachable' : 'unreachable'
      const leads = raft.leader === name
      if (status.Reachability === Reachability && (status.Leader === true) === leads) continue
      const next = { ...(leads ? { Leader: true as const } : {}), Reachability, Addr: status.Addr } as const
      setNode(name, () => ({ ManagerStatus: next }), {
        ...(status.Reachability === Reachability
          ? {}
          : { 'reachability.new': Reachability, 'reachability.old': status.Reachability }),
        ...((status.Leader === true) === leads ? {} : { 'leader.new': String(leads), 'leader.old': String(!leads) }),
      })
    }
  }
  raft.onChange(updateManagerStatus)

  const scheduleNodeDown = (name: string, afterMs: number): void => {
    downTimers.get(name)?.()
    downTimers.set(
      name,
      timers.after(afterMs, () => void raft.untilLeader().then(() => setNodeState(name, 'down'))),
    )
  }
  const scheduleNodeReady = (name: string): void => {
    downTimers.get(name)?.()
    downTimers.delete(name)
    timers.after(timing.catchUpMs, () => void raft.untilLeader().then(() => setNodeState(name, 'ready')))
  }

  const service = (name: string): ServiceObject => {
    const found = findService(store, name)
    if (found === undefined) throw new Error(`no service ${name} in the emulated swarm`)
    return found
  }
  const insertService = (spec: ServiceSpec): ServiceObject => {
    const created = store.insert(store.services, {
      Spec: withDefaults(spec),
      Endpoint: endpointOf(spec, store, pools, undefined),
    })
    store.emit('service', 'create', created.ID, { name: spec.Name })
    orchestrator.reconcile(created.ID)
    return created
  }
  const replaceSpec = (id: string, spec: ServiceSpec): ServiceObject => {
    const old = store.services.get(id)
    if (old === undefined) throw new Error(`no service ${id} in the emulated swarm`)
    const { UpdateStatus: _, ...rest } = old
    const next = withDefaults(spec)
    const from = replicasOf(old.Spec)
    const to = replicasOf(next)
    // An update clears the status of the previous one, so the whole object is replaced.
    store.services.set(id, rest)
    store.update(store.services, id, { Spec: next, PreviousSpec: old.Spec, Endpoint: endpointOf(next, store, pools, old) })
    const scaled = from === to ? {} : { 'replicas.new': String(to), 'replicas.old': String(from) }
    store.emit('service', 'update', id, { name: next.Name, ...scaled })
    orchestrator.reconcile(id)
    void updater.run(id)
    return store.services.get(id) ?? old
  }
  const removeService = (name: string): void => {
    const { ID, Spec } = service(name)
    orchestrator.remove(ID)
    store.remove(store.services, ID)
    store.emit('service', 'remove', ID, { name: Spec.Name })
  }
  const setAvailability = (name: string, availability: NodeObject['Spec']['Availability']): void => {
    const old = store.nodes.get(nodeId(name))?.Spec.Availability
    if (old === undefined || old === availability) return
    setNode(name, node => ({ Spec: { ...node.Spec, Availability: availability } }), {
      'availability.new': availability,
      'availability.old': old,
    })
    if (availability === 'drain') orchestrator.evacuate(nodeId(name))
    else orchestrator.reconcileAll()
  }
  const swarmTasks = (name: string): readonly TaskObject[] => orchestrator.wanted(service(name).ID)

  return {
    nodes: names,
    state: store,
    async listen(listen = {}) {
      for (const name of names) {
        servers.set(
          name,
          new ApiServer(name, {
            store,
            raft,
            timers,
            timing,
            clusterId,
            tables: () => stale.get(name) ?? store,
            suppressesEvents: () => eventsSuppressed.has(name),
            createService: insertService,
            replaceSpec,
            removeService,
            setAvailability,
            setNodeSpec: (id, Labels) => setNode(id, node => ({ Spec: { ...node.Spec, Labels } }), {}),
            createNetwork,
          }),
        )
      }
      const port = await listenTogether(
        [...servers].map(([name, server]) => [addressOf(name), server]),
        listen.port ?? 0,
      )
      const of = (wanted: readonly string[]) => wanted.map(name => `tcp://${addressOf(name)}:${port}`)
      return { managers: of(managerNames), workers: of(workerNames) }
    },
    async close() {
      timers.close()
      tasks.killAll()
      await Promise.all([...servers.values()].map(server => server.close()))
    },
    leader: () => raft.leader,
    managerStates: () => managerNames.map(name => ({ name, state: raft.state(name) })),
    async killManager(name, how = 'down') {
      raft.setDown(name, how)
      scheduleNodeDown(name, timing.nodeDeadMs)
      if (how === 'down') await servers.get(name)?.stop()
    },
    async reviveManager(name) {
      if (raft.state(name) === 'down') await servers.get(name)?.restart()
      raft.setUp(name)
      scheduleNodeReady(name)
    },
    async killNode(name, how = 'kill') {
      tasks.stopProcesses(nodeId(name), how)
      if (raft.state(name) === 'up') raft.setDown(name, how === 'kill' ? 'down' : 'hung')
      scheduleNodeDown(name, how === 'kill' ? timing.nodeDeadMs : timing.nodeUnreachableMs)
      if (how === 'kill') await servers.get(name)?.stop()
    },
    async reviveNode(name) {
      await servers.get(name)?.restart()
      raft.setUp(name)
      scheduleNodeReady(name)
    },
    setStale(name, on) {
      if (on) stale.set(name, store.copy())
      else stale.delete(name)
    },
    setEventsSuppressed(name, on) {
      if (on) eventsSuppressed.add(name)
      else eventsSuppressed.delete(name)
    },
    calls: name => servers.get(name)?.calls() ?? new Map(),
    createNetwork: (name, subnet) => createNetwork(name, subnet),
    createService: request => insertService(specOf(request, store)),
    updateService: (name, change) => replaceSpec(service(name).ID, change(service(name).Spec)),
    roll: name => replaceSpec(service(name).ID, forced(service(name).Spec)),
    scale: (name, replicas) =>
      replaceSpec(service(name).ID, { ...service(name).Spec, Mode: { Replicated: { Replicas: replicas } } }),
    removeService,
    setAvailability,
    killTask: id => tasks.kill(id),
    tasks: swarmTasks,
    settled: () => store.until(() => [...store.services.values()].every(one => isSettled(one, orchestrator.wanted(one.ID)))),
  }
}

function isSettled(service: ServiceObject, wanted: readonly TaskObject[]): boolean {
  const enough = service.Spec.Mode?.Global !== undefined || wanted.length === (service.Spec.Mode?.Replicated?.Replicas ?? 1)
  return (
    enough &&
    service.UpdateStatus?.State !== 'updating' &&
    wanted.every(task => task.Status.State === 'running' && !isOutOfDate(task, service))
  )
}

/**
 * Starts all servers on one port, each on its own address; resolves with the port. With port 0 another port is tried if one is in
 * use on some address.
 */
async function listenTogether(servers: readonly (readonly [string, ApiServer])[], port: number, triesLeft = 10): Promise<number> {
  let chosen = port
  const listening: ApiServer[] = []
  try {
    for (const [address, server] of servers) {
      chosen = await server.listen(address, chosen)
      listening.push(server)
    }
    return chosen
  } catch (error) {
    await Promise.all(listening.map(server => server.close()))
    if (port !== 0 || triesLeft === 0) throw error
    return listenTogether(servers, 0, triesLeft - 1)
  }
}
