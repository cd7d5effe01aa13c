// A manager under the control of a test: a small Docker Engine API on 127.0.0.1 over lists that the test changes, and a hook
// that may answer any request itself. For the behaviour of a real swarm there is the emulator.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface ServiceSketch {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  /** Addresses of running tasks; default: 127.0.0.1 on network `web`. */
  readonly tasks?: readonly { readonly address: string; readonly network?: string }[]
  /** Container ports that it publishes. */
  readonly ports?: readonly number[]
}

/** Answers a request and returns true, or returns false for the default answer. */
export type Hook = (path: string, request: IncomingMessage, response: ServerResponse) => boolean

const managers = new Set<ScriptedManager>()

export function closeManagers(): void {
  for (const manager of managers) manager.close()
}

export class ScriptedManager {
  services: object[] = []
  tasks: object[] = []
  nodes: object[] = []
  hook: Hook = () => false
  /** Requests so far, by path. */
  readonly asked = new Map<string, number>()
  /** Methods other than GET that were received. */
  readonly writes: string[] = []
  readonly streams = new Set<ServerResponse>()
  port = 0
  private index = 100
  private readonly server: Server
  private local: Server | null = null

  private constructor() {
    this.server = createServer((request, response) => this.answer(request, response))
  }

  static async start(...services: readonly ServiceSketch[]): Promise<ScriptedManager> {
    const manager = new ScriptedManager()
    await new Promise<void>(resolve => manager.server.listen(0, '127.0.0.1', resolve))
    manager.port = (manager.server.address() as AddressInfo).port
    managers.add(manager)
    manager.set(...services)
    return manager
  }

  get endpoint(): string {
    return `tcp://127.0.0.1:${this.port}`
  }

  /** Replaces the services and sends an event. */
  set(...services: readonly ServiceSketch[]): void {
    const version = { Index: ++this.index }
    this.nodes = [
      {
        ID: 'node1',
        Version: version,
        Spec: { Role: 'manager', Availability: 'active' },
        Description: { Hostname: 'n1' },
        Status: { State: 'ready', Addr: '127.0.0.1' },
        ManagerStatus: { Leader: true, Reachability: 'reachable', Addr: '127.0.0.1:2377' },
      },
    ]
    this.services = services.map(({ name, labels, ports = [] }) => ({
      ID: `id-${name.slice(0, 100)}`,
      Version: version,
      Spec: { Name: name, Labels: labels, EndpointSpec: { Mode: 'dnsrr' } },
      Endpoint: {
        Spec: { Mode: 'dnsrr' },
        Ports: ports.map(TargetPort => ({ Protocol: 'tcp', TargetPort, PublishMode: 'host' })),
      },
    }))
    this.tasks = services.flatMap(({ name, tasks = [{ address: '127.0.0.1' }] }) =>
      tasks.map(({ address, network = 'web' }, slot) => ({
        ID: `task-${name.slice(0, 80)}-${slot}`,
        Version: version,
        ServiceID: `id-${name.slice(0, 100)}`,
        NodeID: 'node1',
        DesiredState: 'running',
        Status: { State: 'running', ContainerStatus: { ContainerID: `c-${slot}` } },
        NetworksAttachments:
          address === '' ? [] : [{ Network: { ID: `net-${network}`, Spec: { Name: network } }, Addresses: [`${address}/8`] }],
      })),
    )
    this.emit({ Type: 'service', Action: 'update', Actor: { ID: 'any', Attributes: {} }, scope: 'swarm' })
  }

  /** Sends text or an event to all event streams. */
  emit(event: object | string): void {
    for (const stream of this.streams) stream.write(typeof event === 'string' ? event : `${JSON.stringify(event)}\n`)
  }

  /** Listens on a unix socket too, as Docker does. */
  async listenOn(path: string): Promise<void> {
    this.local = createServer((request, response) => this.answer(request, response))
    await new Promise<void>(resolve => this.local?.listen(path, resolve))
  }

  close(): void {
    managers.delete(this)
    for (const server of [this.server, this.local]) {
      server?.close()
      server?.closeAllConnections()
    }
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', 'http://manager')
    const path = url.pathname.replace(/^\/v1\.\d+(?=\/)/, '')
    this.asked.set(path, (this.asked.get(path) ?? 0) + 1)
    if (request.method !== 'GET') this.writes.push(`${request.method} ${path}`)
    if (this.hook(path, request, response)) return
    if (path === '/events') {
      response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders()
      this.streams.add(response)
      response.once('close', () => this.streams.delete(response))
      return
    }
    const answers: Readonly<Record<string, unknown>> = {
      '/info': { Name: 'n1', Swarm: { NodeID: 'node1', LocalNodeState: 'active', ControlAvailable: true } },
      '/nodes': this.nodes,
      '/services': this.services,
      '/networks': ['web', 'other'].map(name => ({ Id: `net-${name}`, Name: name, Scope: 'swarm', Driver: 'overlay' })),
      '/tasks': url.searchParams.get('filters')?.includes('"id"') ? [] : this.tasks,
    }
    send(response, Object.hasOwn(answers, path) ? 200 : 404, answers[path] ?? { message: 'page not found' })
  }
}

export function send(response: ServerResponse, status: number, value: unknown): void {
  const body = Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': body.length }).end(body)
}
