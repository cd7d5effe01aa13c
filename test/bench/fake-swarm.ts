// A static Docker Engine API, with just the objects that Skein needs to discover the bench's services: one manager, one network,
// services with Traefik v1 labels, and tasks at loopback addresses. It costs next to no CPU; src/emulator emulates behaviour.

import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Case, hostOf, serverHosts } from './cases.ts'

export interface FakeSwarm {
  readonly port: number
  stop(): void
}

const NETWORK = {
  Id: 'benchnetwork0000000000001',
  Name: 'bench',
  Driver: 'overlay',
  Scope: 'swarm',
  Attachable: true,
  Internal: false,
  Labels: {},
}
const NODE_ID = 'benchnode0000000000000001'
const WHEN = { Version: { Index: 10 }, CreatedAt: '2026-01-01T00:00:00Z', UpdatedAt: '2026-01-01T00:00:00Z' }

/** Serves `shape` on a free port of `host`. Every server is the backend at `backendPort`. */
export async function startFakeSwarm(shape: Case, backendPort: number, host = '127.0.0.1'): Promise<FakeSwarm> {
  const bodies = describe(shape, backendPort)
  const server = createServer((request, response) => {
    const path = (request.url ?? '/').replace(/\?.*$/s, '').replace(/^\/v\d+\.\d+(?=\/)/, '')
    if (path === '/events') response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders()
    else answer(response, bodies.get(path))
  })
  server.listen(0, host)
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    stop() {
      server.closeAllConnections()
      server.close()
    },
  }
}

function answer(response: ServerResponse, body: Buffer | undefined): void {
  const headers = {
    'api-version': '1.41',
    'content-type': 'application/json',
    'docker-experimental': 'false',
    ostype: 'linux',
    swarm: 'active/manager',
  }
  if (body === undefined) response.writeHead(404, headers).end('{"message":"page not found"}')
  else response.writeHead(200, { ...headers, 'content-length': body.length }).end(body)
}

function describe(shape: Case, backendPort: number): Map<string, Buffer> {
  const services: object[] = []
  const tasks: object[] = []
  for (let i = 0; i < shape.services; i++) {
    services.push(serviceObject(i, backendPort, shape.serversEach, shape.labels?.[i] ?? {}))
    serverHosts(shape.serversEach).forEach((host, slot) => void tasks.push(taskObject(i, slot, host)))
  }
  const bodies = new Map<string, Buffer>([['/_ping', Buffer.from('OK')]])
  const put = (path: string, value: unknown) => void bodies.set(path, Buffer.from(JSON.stringify(value)))
  put('/version', { Version: '20.10.24', ApiVersion: '1.41', MinAPIVersion: '1.12', Os: 'linux', Arch: 'amd64' })
  put('/info', {
    ID: 'BENCH',
    Name: 'bench',
    ServerVersion: '20.10.24',
    Swarm: {
      NodeID: NODE_ID,
      NodeAddr: '127.0.0.1',
      LocalNodeState: 'active',
      ControlAvailable: true,
      Error: '',
      Managers: 1,
      Nodes: 1,
    },
  })
  put('/nodes', [
    {
      ID: NODE_ID,
      ...WHEN,
      Spec: { Role: 'manager', Availability: 'active', Labels: {} },
      Description: {
        Hostname: 'bench',
        Platform: { Architecture: 'x86_64', OS: 'linux' },
        Engine: { EngineVersion: '20.10.24' },
      },
      Status: { State: 'ready', Addr: '127.0.0.1' },
      ManagerStatus: { Leader: true, Reachability: 'reachable', Addr: '127.0.0.1:2377' },
    },
  ])
  put('/networks', [NETWORK])
  put(`/networks/${NETWORK.Id}`, NETWORK)
  put('/services', services)
  put('/tasks', tasks)
  return bodies
}

function serviceObject(index: number, backendPort: number, replicas: number, more: Readonly<Record<string, string>>): object {
  const labels = {
    'traefik.port': String(backendPort),
    'traefik.frontend.rule': `Host:${hostOf(index)}`,
    'traefik.backend.loadbalancer.method': 'wrr',
    ...more,
  }
  return {
    ID: `service${index}`,
    ...WHEN,
    Spec: {
      Name: `s${index}`,
      Labels: labels,
      TaskTemplate: {
        ContainerSpec: { Image: 'bench' },
        Networks: [{ Target: NETWORK.Id }],
        ForceUpdate: 0,
        Runtime: 'container',
      },
      Mode: { Replicated: { Replicas: replicas } },
      EndpointSpec: { Mode: 'dnsrr' },
    },
    Endpoint: { Spec: { Mode: 'dnsrr' } },
  }
}

function taskObject(service: number, slot: number, host: string): object {
  return {
    ID: `task${service}x${slot}`,
    ...WHEN,
    Spec: { ContainerSpec: { Image: 'bench' }, Networks: [{ Target: NETWORK.Id }] },
    ServiceID: `service${service}`,
    Slot: slot + 1,
    NodeID: NODE_ID,
    Status: {
      Timestamp: '2026-01-01T00:00:00Z',
      State: 'running',
      Message: 'started',
      ContainerStatus: { ContainerID: `c${service}x${slot}` },
    },
    DesiredState: 'running',
    NetworksAttachments: [{ Network: { ID: NETWORK.Id, ...WHEN, Spec: { Name: NETWORK.Name } }, Addresses: [`${host}/8`] }],
  }
}
