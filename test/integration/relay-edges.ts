// Edges that relay for one another, for the tests of relaying: one that can reach no server of its services, others that can.
// What cannot be reached is an address of the loopback network that the kernel has no way to (its broadcast address: ENETUNREACH
// at once) or a frozen backend (stoppable.ts: connects time out).

import { relayKey } from '../../src/proxy/relay/relay-key.ts'
import { until } from '../until.ts'
import { Backend, Edge, type ServiceSketch } from './harness.ts'

export const KEY = relayKey('the secret of the cluster')
/** No connect gets anywhere, and it says so at once. */
export const NOWHERE = '127.255.255.255'

type Overrides = NonNullable<Parameters<typeof Edge.start>[1]>
const open: { stop(): void }[] = []

/** An edge whose servers are all nowhere, under ids that its peers know them by. */
export function cutOff(servers: readonly number[] = [1], rest: Partial<ServiceSketch> = {}): Record<string, ServiceSketch> {
  return { app: { servers: servers.map(port => ({ port, host: NOWHERE })), ...rest } }
}

export async function edgeOf(
  name: string,
  services: Readonly<Record<string, ServiceSketch>>,
  overrides: Overrides = {},
): Promise<Edge> {
  const relay = { listen: { host: '127.0.0.1', port: 0 }, keys: [KEY], ...overrides.relay }
  const edge = await Edge.start(services, { name, ...overrides, relay })
  open.push(edge)
  return edge
}

/** `from` can reach no server of `app`, `to` can reach these. */
export async function pairOf(
  servers: ServiceSketch['servers'],
  rest: Partial<ServiceSketch> = {},
  overrides: Overrides = {},
): Promise<{ from: Edge; to: Edge }> {
  const ports = servers.map(server => (typeof server === 'number' ? server : server.port))
  const from = await edgeOf('edge-1', cutOff(ports, rest), overrides)
  const to = await edgeOf('edge-2', { app: { ...rest, servers } }, overrides)
  from.relayTo(to.target())
  return { from, to }
}

export async function backendOf(...parameters: Parameters<typeof Backend.start>): Promise<Backend> {
  const backend = await Backend.start(...parameters)
  open.push(backend)
  return backend
}

export function stopLater<T extends { stop(): void }>(one: T): T {
  open.push(one)
  return one
}

/** After each test: nothing may be left under way. */
export async function stopAll(): Promise<void> {
  const all = open.splice(0)
  try {
    for (const one of all) if (one instanceof Edge) await until('no request is in flight', () => one.isIdle)
  } finally {
    for (const one of all) one.stop()
  }
}
