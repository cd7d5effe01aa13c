// The answers of the emulated Docker API by path, in the form of the engine. Reads are pure functions of the tables; writes go
// through SwarmAccess. Other paths get 404, as in the engine.

import type { NodeObject, ServiceObject, ServiceSpec, SwarmNetwork } from './docker-objects.ts'
import { hasEnded, networkTargets } from './docker-objects.ts'
import {
  type ApiError,
  filterNodes,
  filterServices,
  filterTasks,
  find,
  findNode,
  findService,
  isApiError,
  parseFilters,
  taskName,
} from './filters.ts'
import type { Tables } from './store.ts'
import type { Reply, SwarmAccess } from './swarm-access.ts'

const engine = {
  Version: '20.10.24',
  ApiVersion: '1.41',
  MinAPIVersion: '1.12',
  GitCommit: 'emulated',
  GoVersion: 'none',
  Os: 'linux',
  Arch: 'amd64',
  KernelVersion: 'emulated',
  BuildTime: '2026-01-01T00:00:00.000000000+00:00',
}

/** Answers paths that do not depend on the swarm, also while there is no leader; null for other paths. */
export function answerLocal(path: string, node: NodeObject, swarm: SwarmAccess): Reply | null {
  if (path === '/version') return ok({ Platform: { Name: 'emulated swarm' }, Components: [], ...engine })
  if (path === '/containers/json') return ok(containersOn(node, swarm.store))
  return null
}

/** Answers paths that read or change the swarm. */
export function answerSwarm(
  method: string,
  path: string,
  query: URLSearchParams,
  body: unknown,
  node: NodeObject,
  swarm: SwarmAccess,
): Reply {
  const tables = swarm.tables()
  const filters = query.get('filters')
  const [, kind = '', reference, verb] = path.split('/').map(part => decodeURIComponent(part))
  if (reference === undefined && method === 'GET') {
    if (kind === 'info') return ok(info(node, swarm))
    if (kind === 'services')
      return list(filterServices(tables, filters), one => withStatus(one, tables, query.get('status') === 'true'))
    if (kind === 'tasks') return list(filterTasks(tables, filters), one => one)
    if (kind === 'nodes') return list(filterNodes(tables, filters), one => one)
    if (kind === 'networks') return list(filterNetworks(tables, filters), networkView)
  } else if (reference !== undefined && verb === undefined && method === 'GET') {
    if (kind === 'services') return one('service', reference, findService(tables, reference))
    if (kind === 'nodes') return one('node', reference, findNode(tables, reference))
    if (kind === 'tasks')
      return one(
        'task',
        reference,
        find([...tables.tasks.values()], reference, task => task.ID),
      )
    if (kind === 'networks') {
      const network = find([...tables.networks.values()], reference, named)
      return one('network', reference, network === undefined ? undefined : networkView(network))
    }
  } else if (method === 'POST' || method === 'DELETE') {
    return write(
      `${method} ${kind} ${verb ?? (reference === 'create' ? 'create' : '')}`.trimEnd(),
      reference ?? '',
      query,
      body,
      swarm,
    )
  }
  return { status: 404, body: { message: 'page not found' } }
}

function write(what: string, reference: string, query: URLSearchParams, body: unknown, swarm: SwarmAccess): Reply {
  const { store } = swarm
  if (what === 'POST services create' || what === 'POST services update') {
    const spec = readServiceSpec(body, swarm.store)
    if (isApiError(spec)) return fail(spec)
    const old = what.endsWith('update') ? findService(store, reference) : undefined
    if (what.endsWith('update') && old === undefined) return notFound('service', reference)
    const namesake = [...store.services.values()].find(service => service.Spec.Name === spec.Name && service.ID !== old?.ID)
    if (namesake !== undefined) {
      const message = `rpc error: code = AlreadyExists desc = name conflicts with an existing object: service ${spec.Name} already exists`
      return fail({ status: 409, message })
    }
    if (old === undefined) return { status: 201, body: { ID: swarm.createService(spec).ID } }
    const refused = checkVersion('service', query.get('version'), old.Version.Index)
    if (refused !== null) return fail(refused)
    swarm.replaceSpec(old.ID, spec)
    return ok({ Warnings: null })
  }
  if (what === 'DELETE services') {
    const service = findService(store, reference)
    if (service === undefined) return notFound('service', reference)
    swarm.removeService(service.Spec.Name)
    return ok(null)
  }
  if (what === 'POST nodes update') {
    const node = findNode(store, reference)
    if (node === undefined) return notFound('node', reference)
    const refused = checkVersion('node', query.get('version'), node.Version.Index)
    if (refused !== null) return fail(refused)
    const spec = body as Partial<NodeObject['Spec']> | null
    const availability = spec?.Availability
    if (availability !== 'active' && availability !== 'drain' && availability !== 'pause') {
      return fail({ status: 400, message: `invalid Availability: "${String(availability)}"` })
    }
    swarm.setNodeSpec(node.Description.Hostname, spec?.Labels ?? {})
    swarm.setAvailability(node.Description.Hostname, availability)
    return ok(null)
  }
  if (what === 'POST networks create') {
    const request = body as { Name?: unknown; IPAM?: { Config?: readonly { Subnet?: string }[] } } | null
    if (typeof request?.Name !== 'string') return fail({ status: 400, message: 'a network needs a name' })
    const subnet = request.IPAM?.Config?.[0]?.Subnet ?? `10.0.${store.networks.size}.0/24`
    return { status: 201, body: { Id: swarm.createNetwork(request.Name, subnet).ID, Warning: '' } }
  }
  if (what === 'DELETE networks') {
    const network = find([...store.networks.values()], reference, named)
    if (network === undefined) return notFound('network', reference)
    store.remove(store.networks, network.ID)
    store.emit('network', 'remove', network.ID, { name: network.Spec.Name })
    return { status: 204, body: null }
  }
  return { status: 404, body: { message: 'page not found' } }
}

function readServiceSpec(body: unknown, tables: Tables): ServiceSpec | ApiError {
  const spec = body as ServiceSpec | null
  if (typeof spec !== 'object' || spec === null || typeof spec.Name !== 'string' || spec.Name === '') {
    return { status: 400, message: 'rpc error: code = InvalidArgument desc = meta: name must be provided' }
  }
  if (spec.TaskTemplate?.ContainerSpec === undefined) return { status: 400, message: 'mismatched Runtime and *Spec fields' }
  const targets: { Target: string }[] = []
  for (const reference of networkTargets(spec)) {
    const network = find([...tables.networks.values()], reference, named)
    if (network === undefined) return { status: 404, message: `network ${reference} not found` }
    targets.push({ Target: network.ID })
  }
  const { Networks: _, ...rest } = spec
  return targets.length === 0 ? rest : { ...rest, TaskTemplate: { ...spec.TaskTemplate, Networks: targets } }
}

function checkVersion(what: string, raw: string | null, index: number): ApiError | null {
  if (raw === null || !/^\d+$/.test(raw)) {
    return {
      status: 400,
      message: `invalid ${what} version '${raw ?? ''}': strconv.ParseUint: invalid syntax`,
    }
  }
  return Number(raw) === index ? null : { status: 500, message: 'rpc error: code = Unknown desc = update out of sequence' }
}

function info(node: NodeObject, swarm: SwarmAccess): unknown {
  const tables = swarm.tables()
  const managers = [...tables.nodes.values()].filter(one => one.Spec.Role === 'manager')
  const isManager = node.Spec.Role === 'manager'
  return {
    ID: node.ID,
    Name: node.Description.Hostname,
    ServerVersion: engine.Version,
    OSType: 'linux',
    Architecture: 'x86_64',
    OperatingSystem: 'emulated',
    Containers: containersOn(node, tables).length,
    NCPU: 2,
    MemTotal: 4_294_967_296,
    Labels: [],
    Swarm: {
      NodeID: node.ID,
      NodeAddr: node.Status.Addr,
      LocalNodeState: 'active',
      ControlAvailable: isManager,
      Error: '',
      RemoteManagers: managers.map(one => ({ NodeID: one.ID, Addr: one.ManagerStatus?.Addr ?? '' })),
      ...(isManager ? { Nodes: tables.nodes.size, Managers: managers.length, Cluster: { ID: swarm.clusterId } } : {}),
    },
    Warnings: null,
  }
}

function containersOn(node: NodeObject, tables: Tables): readonly unknown[] {
  return [...tables.tasks.values()]
    .filter(task => task.NodeID === node.ID && task.Status.ContainerStatus !== undefined && !hasEnded(task.Status.State))
    .map(task => ({
      Id: task.Status.ContainerStatus?.ContainerID,
      Names: [`/${taskName(tables, task)}`],
      Image: task.Spec.ContainerSpec?.Image ?? '',
      Command: '',
      Created: Math.floor(Date.parse(task.CreatedAt) / 1000),
      Ports: [],
      Labels: {
        'com.docker.swarm.node.id': node.ID,
        'com.docker.swarm.service.id': task.ServiceID,
        'com.docker.swarm.service.name': tables.services.get(task.ServiceID)?.Spec.Name ?? '',
        'com.docker.swarm.task': '',
        'com.docker.swarm.task.id': task.ID,
        'com.docker.swarm.task.name': taskName(tables, task),
      },
      State: 'running',
      Status: 'Up',
      NetworkSettings: {
        Networks: Object.fromEntries(
          (task.NetworksAttachments ?? []).map(({ Network, Addresses }) => [
            Network.Spec.Name,
            { NetworkID: Network.ID, IPAddress: (Addresses[0] ?? '').replace(/\/.*/, '') },
          ]),
        ),
      },
      Mounts: [],
    }))
}

function filterNetworks(tables: Tables, raw: string | null): readonly SwarmNetwork[] | ApiError {
  const filters = parseFilters(raw, ['dangling', 'driver', 'id', 'label', 'name', 'scope', 'type'])
  if (isApiError(filters)) return filters
  const matches = (name: string, holds: (value: string) => boolean): boolean => {
    const values = filters.get(name) ?? []
    return values.length === 0 || values.some(holds)
  }
  return [...tables.networks.values()].filter(
    network =>
      matches('name', name => network.Spec.Name.startsWith(name)) &&
      matches('id', id => network.ID.includes(id)) &&
      matches('driver', driver => driver === 'overlay') &&
      matches('scope', scope => scope === 'swarm') &&
      matches('type', type => type === 'custom') &&
      (filters.get('label') ?? []).length === 0,
  )
}

/** A swarm network in the form of `/networks`, which is that of a local network. */
function networkView(network: SwarmNetwork): { readonly ID: string } & Record<string, unknown> {
  const view = {
    Name: network.Spec.Name,
    Id: network.ID,
    Created: network.CreatedAt,
    Scope: 'swarm',
    Driver: 'overlay',
    EnableIPv6: false,
    IPAM: { Driver: 'default', Options: null, Config: network.IPAMOptions.Configs },
    Internal: false,
    Attachable: network.Spec.Attachable ?? false,
    Ingress: network.Spec.Ingress ?? false,
    ConfigFrom: { Network: '' },
    ConfigOnly: false,
    Containers: null,
    Options: network.DriverState.Options,
    Labels: null,
  }
  // The engine writes `Id` here. Functions of this file find objects by `ID`, which must not appear in the answer.
  return Object.defineProperty(view, 'ID', { value: network.ID, enumerable: false }) as typeof view & { ID: string }
}

function withStatus(service: ServiceObject, tables: Tables, wanted: boolean): unknown {
  if (!wanted) return service
  const own = [...tables.tasks.values()].filter(task => task.ServiceID === service.ID)
  const desired = own.filter(task => !hasEnded(task.DesiredState))
  return {
    ...service,
    ServiceStatus: {
      RunningTasks: desired.filter(task => task.Status.State === 'running').length,
      DesiredTasks: service.Spec.Mode?.Global === undefined ? (service.Spec.Mode?.Replicated?.Replicas ?? 1) : desired.length,
      CompletedTasks: own.filter(task => task.Status.State === 'complete').length,
    },
  }
}

function named(network: SwarmNetwork): string {
  return network.Spec.Name
}

function ok(body: unknown): Reply {
  return { status: 200, body }
}

function list<T>(found: readonly T[] | ApiError, view: (object: T) => unknown): Reply {
  return isApiError(found) ? fail(found) : ok((found as readonly T[]).map(view))
}

function one(what: string, reference: string, found: object | undefined): Reply {
  return found === undefined ? notFound(what, reference) : ok(found)
}

function notFound(what: string, reference: string): Reply {
  return { status: 404, body: { message: `${what} ${reference} not found` } }
}

function fail(error: ApiError): Reply {
  return { status: error.status, body: { message: error.message } }
}
