// Providers of several replicas on the emulated swarm, for tests of their cluster part.

import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import pino from 'pino'
import type { DynamicConfig } from '../../../../src/config/model.ts'
import { createClock } from '../../../../src/emulator/clock.ts'
import { createEmulatedSwarm, type EmulatedSwarm } from '../../../../src/emulator/swarm.ts'
import type { DiscoveredService } from '../../../../src/labels/shared/discovered.ts'
import { createSwarmProvider, type SwarmProvider } from '../../../../src/providers/swarm/swarm-provider.ts'
import { until } from '../../../until.ts'

export const SECRET = 'a secret of the cluster'

export interface Replica {
  readonly provider: SwarmProvider
  readonly lines: string[]
  readonly emitted: (readonly DiscoveredService[])[]
  readonly saw: string[]
  /** Reports about the manager, oldest first. */
  readonly told: string[]
  current(): string
}

export interface Plan {
  readonly managers: readonly string[]
  readonly name?: string
  readonly members?: readonly string[]
  readonly mode?: 'read' | 'listen'
  readonly learn?: boolean
}

export const replicas: Replica[] = []

export function start({ managers, name = 'e1', members = [name], mode = 'read', learn = false }: Plan): Replica {
  const lines: string[] = []
  const emitted: (readonly DiscoveredService[])[] = []
  const saw: string[] = []
  const told: string[] = []
  const provider = createSwarmProvider(
    {
      managers,
      tls: { ca: null, cert: null, key: null },
      learnManagers: learn,
      domain: 'lab.test',
      exposedByDefault: true,
      network: null,
      constraints: [],
      labelPrefix: 'traefik',
      pollRestMs: 200,
      pollBusyMs: 50,
      callTimeoutMs: 1000,
      name,
      secret: SECRET,
      dataDir: null,
    },
    pino({ level: 'info' }, { write: (line: string) => void lines.push(line) }),
    services => ({ routers: {}, services: {}, middlewares: {}, errors: [], found: services }) as DynamicConfig,
    {
      eventsSeen: keys => void saw.push(...keys),
      managerHealth: (manager, healthy) => void told.push(`${manager} ${healthy ? 'well' : 'not well'}`),
      localConfig: () => undefined,
      members: () => members,
      others: () => [],
    },
    { timing: { tickMs: 50, probeMs: 100, probeRestMs: 500, probeListenMs: 200, returnAfterMs: 800 }, container: null },
  )
  if (mode === 'listen') provider.cluster.setMode('listen')
  provider.start(config => emitted.push((config as DynamicConfig & { found: readonly DiscoveredService[] }).found))
  const current = (): string => provider.status().managers.find(manager => manager.current)?.endpoint ?? ''
  const replica = { provider, lines, emitted, saw, told, current }
  replicas.push(replica)
  return replica
}

export const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

export async function withSwarm(
  work: (swarm: EmulatedSwarm, managers: readonly string[]) => Promise<void>,
  speed = 10,
): Promise<void> {
  const swarm = createEmulatedSwarm({ managers: 3, workers: 3, clock: createClock(speed), networks: { web: '127.42.0.0/16' } })
  const { managers } = await swarm.listen()
  try {
    swarm.createService({ name: 'web', networks: ['web'], replicas: 3, labels: { 'traefik.port': '80' } })
    await swarm.settled()
    await work(swarm, managers)
  } finally {
    await Promise.all(replicas.splice(0).map(({ provider }) => provider.stop()))
    await swarm.close()
  }
}

/** Waits until all endpoints are identified and the preferred manager is selected. */
export async function placed({ provider }: Replica): Promise<void> {
  const known = (): boolean => provider.status().managers.every(({ hostname }) => hostname !== null)
  await until('all identified', known, 15_000)
  await pause(200)
}

/** Calls to all managers, without event streams. */
export function calls(swarm: EmulatedSwarm): number {
  const counts = ['m1', 'm2', 'm3'].flatMap(name => [...swarm.calls(name)])
  return counts.reduce((sum, [path, count]) => sum + (path === '/events' ? 0 : count), 0)
}

export function streams(swarm: EmulatedSwarm): number {
  return ['m1', 'm2', 'm3'].reduce((sum, name) => sum + (swarm.calls(name).get('/events') ?? 0), 0)
}

export const wellAt = (replica: Replica): boolean => replica.told.at(-1)?.endsWith(' well') === true && !isUnwell(replica)
export const isUnwell = (replica: Replica): boolean => replica.told.at(-1)?.endsWith('not well') === true
export const whole = (services: readonly DiscoveredService[] | undefined, name = 'web', count = 3): boolean =>
  services?.find(service => service.name === name)?.instances.filter(({ state }) => state === 'active').length === count

/** Forwards connections to a port until it is cut: then no byte passes and nothing is closed. */
export async function wire(port: number): Promise<{ readonly port: number; cut(): void; close(): void }> {
  const sockets = new Set<Socket>()
  let isCut = false
  const server = createServer(near => {
    sockets.add(near)
    near.on('error', () => undefined)
    if (isCut) return
    const far = connect(port, '127.0.0.1')
    sockets.add(far)
    far.on('error', () => undefined)
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('data', chunk => void (isCut || to.write(chunk)))
      from.on('close', () => void (isCut || to.destroy()))
    }
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    cut: () => {
      isCut = true
    },
    close: () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}
