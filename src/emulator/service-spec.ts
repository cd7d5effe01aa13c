// Builds the spec of an emulated service from a short request, adds the engine's defaults, and the endpoint (virtual IPs, ports)
// that the swarm assigns.

import type { AddressPools } from './address-pool.ts'
import type { PortConfig, ServiceObject, ServiceSpec } from './docker-objects.ts'
import { networkTargets } from './docker-objects.ts'
import { find } from './filters.ts'
import type { Store } from './store.ts'

/** A service in short form; fields of `spec` override the others. */
export interface ServiceRequest {
  readonly name: string
  readonly labels?: Readonly<Record<string, string>>
  /** The number of tasks, default 1; `global` for one task on every node. */
  readonly replicas?: number | 'global'
  /** Names of networks. */
  readonly networks?: readonly string[]
  readonly image?: string
  readonly env?: Readonly<Record<string, string>>
  readonly ports?: readonly PortConfig[]
  readonly endpointMode?: 'vip' | 'dnsrr'
  readonly update?: {
    readonly parallelism?: number
    readonly delayMs?: number
    readonly order?: 'stop-first' | 'start-first'
    readonly monitorMs?: number
  }
  readonly constraints?: readonly string[]
}

export function replicasOf(spec: ServiceSpec): number | undefined {
  return spec.Mode?.Global === undefined ? (spec.Mode?.Replicated?.Replicas ?? 1) : undefined
}

export function forced(spec: ServiceSpec): ServiceSpec {
  return { ...spec, TaskTemplate: { ...spec.TaskTemplate, ForceUpdate: (spec.TaskTemplate.ForceUpdate ?? 0) + 1 } }
}

/** Adds the engine's defaults for missing fields. */
export function withDefaults(spec: ServiceSpec): ServiceSpec {
  return {
    ...spec,
    Labels: spec.Labels ?? {},
    TaskTemplate: { ForceUpdate: 0, Runtime: 'container', ...spec.TaskTemplate },
    Mode: spec.Mode?.Global !== undefined ? { Global: {} } : { Replicated: { Replicas: spec.Mode?.Replicated?.Replicas ?? 1 } },
  }
}

export function endpointOf(
  spec: ServiceSpec,
  store: Store,
  pools: AddressPools,
  old: ServiceObject | undefined,
): ServiceObject['Endpoint'] {
  if (spec.EndpointSpec?.Mode === 'dnsrr') return { Spec: spec.EndpointSpec.Ports === undefined ? {} : spec.EndpointSpec }
  if (networkTargets(spec).length === 0 && spec.EndpointSpec === undefined) return { Spec: {} }
  const VirtualIPs = networkTargets(spec).flatMap(target => {
    const network = store.networks.get(target)
    if (network === undefined) return []
    const kept = old?.Endpoint.VirtualIPs?.find(ip => ip.NetworkID === network.ID)
    return [kept ?? { NetworkID: network.ID, Addr: pools.allocate(network) }]
  })
  const ports = spec.EndpointSpec?.Ports
  return {
    Spec: { Mode: 'vip', ...(ports === undefined ? {} : { Ports: ports }) },
    ...(ports === undefined ? {} : { Ports: ports }),
    VirtualIPs,
  }
}

export function specOf(request: ServiceRequest, store: Store): ServiceSpec {
  const networks = (request.networks ?? []).map(name => {
    const network = find([...store.networks.values()], name, one => one.Spec.Name)
    if (network === undefined) throw new Error(`no network ${name} in the emulated swarm`)
    return { Target: network.ID }
  })
  const update = request.update
  return {
    Name: request.name,
    Labels: request.labels ?? {},
    TaskTemplate: {
      ContainerSpec: {
        Image: request.image ?? 'emulated:latest',
        ...(request.env === undefined ? {} : { Env: Object.entries(request.env).map(([key, value]) => `${key}=${value}`) }),
      },
      Placement: request.constraints === undefined ? {} : { Constraints: request.constraints },
      ...(networks.length === 0 ? {} : { Networks: networks }),
    },
    Mode: request.replicas === 'global' ? { Global: {} } : { Replicated: { Replicas: request.replicas ?? 1 } },
    ...(update === undefined
      ? {}
      : {
          UpdateConfig: {
            Parallelism: update.parallelism ?? 1,
            Delay: (update.delayMs ?? 0) * 1e6,
            FailureAction: 'pause',
            Monitor: (update.monitorMs ?? 5_000) * 1e6,
            MaxFailureRatio: 0,
            Order: update.order ?? 'stop-first',
          },
        }),
    EndpointSpec: { Mode: request.endpointMode ?? 'dnsrr', ...(request.ports === undefined ? {} : { Ports: request.ports }) },
  }
}
