// The Swarm provider on the emulated swarm: what it emits as services are rolled, scaled and removed, and as managers hang,
// die, lag and return.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pino from 'pino'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { DynamicConfig } from '../../../../src/config/model.ts'
import { createClock } from '../../../../src/emulator/clock.ts'
import { createEmulatedSwarm, type EmulatedSwarm } from '../../../../src/emulator/swarm.ts'
import type { DiscoveredService } from '../../../../src/labels/shared/discovered.ts'
import {
  createSwarmProvider,
  type SwarmProvider,
  type SwarmProviderOptions,
} from '../../../../src/providers/swarm/swarm-provider.ts'
import { until } from '../../../until.ts'
import { fakeDocker } from './fake-docker.ts'

interface Watched {
  readonly provider: SwarmProvider
  readonly lines: string[]
  /** Every emission, as its services. */
  readonly emitted: (readonly DiscoveredService[])[]
  /** Resolves when the last emission satisfies the condition; rejects after some seconds with the last emission. */
  until(what: string, condition: (services: readonly DiscoveredService[]) => boolean): Promise<true>
  current(): string | undefined
}

function watch(managers: readonly string[], more: Partial<SwarmProviderOptions> = {}): Watched {
  const lines: string[] = []
  const emitted: (readonly DiscoveredService[])[] = []
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) })
  const provider = createSwarmProvider(
    {
      managers,
      tls: { ca: null, cert: null, key: null },
      learnManagers: true,
      domain: 'lab.test',
      exposedByDefault: true,
      network: null,
      constraints: [],
      labelPrefix: 'traefik',
      pollRestMs: 200,
      pollBusyMs: 50,
      callTimeoutMs: 1000,
      name: 'replica-1',
      secret: null,
      dataDir: null,
      ...more,
    },
    log,
    services => ({ routers: {}, services: {}, middlewares: {}, errors: [], found: services }) as DynamicConfig,
  )
  provider.start(config => emitted.push((config as DynamicConfig & { found: readonly DiscoveredService[] }).found))
  const last = () => emitted.at(-1) ?? []
  return {
    provider,
    lines,
    emitted,
    until: (what, condition) =>
      until(what, () => emitted.length > 0 && condition(last()), 20_000, {
        detail: () => `${JSON.stringify(last())}\n${lines.join('')}`,
      }),
    current: () => provider.status().managers.find(manager => manager.current)?.endpoint,
  }
}

const states = (services: readonly DiscoveredService[], name = 'web') =>
  services.find(service => service.name === name)?.instances.map(({ state }) => state) ?? []
const active =
  (count: number, name = 'web') =>
  (services: readonly DiscoveredService[]) =>
    states(services, name).length === count && states(services, name).every(state => state === 'active')

async function withSwarm(work: (swarm: EmulatedSwarm, managers: readonly string[]) => Promise<void>, speed = 10): Promise<void> {
  const swarm = createEmulatedSwarm({ managers: 3, workers: 3, clock: createClock(speed), networks: { web: '127.42.0.0/16' } })
  const { managers } = await swarm.listen()
  try {
    swarm.createService({ name: 'web', networks: ['web'], replicas: 3, labels: { 'traefik.port': '80' } })
    await swarm.settled()
    await work(swarm, managers)
  } finally {
    await swarm.close()
  }
}

test('running tasks are emitted once, and not again while nothing changes', async () => {
  await withSwarm(async (_swarm, managers) => {
    const watched = watch(managers.slice(0, 1))
    await watched.until('three instances', active(3))
    const count = watched.emitted.length
    await new Promise(resolve => setTimeout(resolve, 700))
    assert.is(watched.emitted.length, count)
    assert.ok(watched.provider.status().synced)
    await watched.provider.stop()
  })
})

test('the other managers are learned from one seed and stored', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'skein-'))
  await withSwarm(async (swarm, managers) => {
    const watched = watch(managers.slice(0, 1), { dataDir })
    await watched.until('three instances', active(3))
    await until('three managers', () => watched.provider.status().managers.length === 3, 20_000, {
      detail: () => JSON.stringify(watched.provider.status()),
    })
    const listed = watched.provider.status().managers
    assert.equal(listed.map(manager => manager.endpoint).sort(), [...managers].sort())
    assert.equal(listed.map(manager => manager.origin).sort(), ['learned', 'learned', 'option'])
    await watched.provider.stop()
    assert.is(JSON.parse(readFileSync(join(dataDir, 'managers.json'), 'utf8')).managers.length, 3)

    // The seed is gone when the replica restarts: it uses the stored list.
    await swarm.killManager('m1')
    const again = watch(managers.slice(0, 1), { dataDir })
    await again.until('three instances', active(3))
    assert.is.not(again.current(), managers[0])
    await again.provider.stop()
  })
  rmSync(dataDir, { recursive: true })
})

test('a rolling update: every task drains before its SIGTERM', async () => {
  await withSwarm(async (swarm, managers) => {
    const watched = watch(managers)
    await watched.until('three instances', active(3))
    const before = new Set(watched.emitted.at(-1)?.[0]?.instances.map(({ id }) => id))
    swarm.roll('web')
    await watched.until(
      'only new instances',
      services => active(3)(services) && !services[0]?.instances.some(({ id }) => before.has(id)),
    )
    const drained = new Set(
      watched.emitted.flatMap(
        services => services[0]?.instances.filter(({ state }) => state === 'draining').map(({ id }) => id) ?? [],
      ),
    )
    for (const id of before) assert.ok(drained.has(id), `${id} left without draining`)
    await watched.provider.stop()
  }, 3)
})

test('scaled down: the other tasks stay; removed: the service is gone', async () => {
  await withSwarm(async (swarm, managers) => {
    const watched = watch(managers)
    await watched.until('three instances', active(3))
    swarm.scale('web', 1)
    await watched.until('two drain', services => states(services).filter(state => state === 'draining').length === 2)
    await watched.until('one is left', active(1))
    swarm.removeService('web')
    await watched.until('no service', services => services.length === 0)
    assert.not.ok(
      watched.lines.some(line => line.includes('cannot be used')),
      watched.lines.join(''),
    )
    await watched.provider.stop()
  }, 3)
})

test('the manager in use dies: another is used, nothing is removed, changes follow', async () => {
  await withSwarm(async (swarm, managers) => {
    const watched = watch(managers)
    await watched.until('three instances', active(3))
    const first = watched.current() ?? ''
    const index = managers.indexOf(first)
    await swarm.killManager(`m${index + 1}`)
    await until('another manager', () => watched.current() !== first, 20_000, { detail: () => watched.lines.join('') })
    swarm.createService({ name: 'new', networks: ['web'], replicas: 1, labels: {} })
    await watched.until('the new service', active(1, 'new'))
    assert.ok(watched.emitted.every(services => states(services).filter(state => state === 'active').length > 0))
    await watched.provider.stop()
  })
})

test('all managers hang during an election: the configuration stays, then follows', async () => {
  await withSwarm(async (swarm, managers) => {
    const watched = watch(managers)
    await watched.until('three instances', active(3))
    const count = watched.emitted.length
    const leader = swarm.leader() ?? ''
    await swarm.killManager(leader, 'hung')
    await new Promise(resolve => setTimeout(resolve, 1500))
    assert.is(watched.emitted.length, count, 'nothing is emitted while nobody answers')
    await until('a leader', () => swarm.leader() !== null, 20_000, { detail: () => '' })
    swarm.createService({ name: 'new', networks: ['web'], replicas: 1, labels: {} })
    await watched.until('the new service', active(1, 'new'))
    const moves = watched.lines.filter(line => line.includes('reading from this manager')).length
    assert.ok(moves <= 5, `${moves} moves`)
    await watched.provider.stop()
  }, 3)
})

test('all managers die and come back: the configuration stays and then follows', async () => {
  await withSwarm(async (swarm, managers) => {
    const watched = watch(managers)
    await watched.until('three instances', active(3))
    const count = watched.emitted.length
    for (const name of ['m1', 'm2', 'm3']) await swarm.killManager(name)
    await until('no manager', () => watched.lines.some(line => line.includes('no manager answers')), 20_000, {
      detail: () => watched.lines.join(''),
    })
    await new Promise(resolve => setTimeout(resolve, 500))
    assert.is(watched.emitted.length, count)
    for (const name of ['m1', 'm2', 'm3']) await swarm.reviveManager(name)
    await until('a leader', () => swarm.leader() !== null, 20_000, { detail: () => '' })
    swarm.createService({ name: 'new', networks: ['web'], replicas: 1, labels: {} })
    await watched.until('the new service', active(1, 'new'))
    await watched.provider.stop()
  })
})

test('answers of a stale manager are discarded until it has caught up', async () => {
  await withSwarm(async (swarm, managers) => {
    const watched = watch(managers.slice(0, 2), { learnManagers: false })
    await watched.until('three instances', active(3))
    const first = watched.current() === managers[1] ? 'm2' : 'm1'
    const other = first === 'm1' ? 'm2' : 'm1'
    swarm.setStale(other, true)
    swarm.scale('web', 4)
    await watched.until('four instances', active(4))
    swarm.scale('web', 2)
    await watched.until('two instances', active(2))
    const count = watched.emitted.length
    await swarm.killManager(first)
    await until('told', () => watched.lines.some(line => line.includes('lags behind')), 20_000, {
      detail: () => watched.lines.join(''),
    })
    assert.is(watched.emitted.length, count)
    swarm.setStale(other, false)
    swarm.scale('web', 3)
    await watched.until('three instances', active(3))
    await watched.provider.stop()
  })
})

test('a manager with malformed answers is not used', async () => {
  await withSwarm(async (_swarm, managers) => {
    const html = await fakeDocker({
      '*': (_request: IncomingMessage, response: ServerResponse) => {
        response.writeHead(200, { 'content-type': 'text/html' })
        response.end('<html>')
      },
    })
    const silent = await fakeDocker({ '*': () => undefined })
    const watched = watch([html.endpoint, silent.endpoint, managers[0] ?? ''], { learnManagers: false })
    await watched.until('three instances', active(3))
    const of = (endpoint: string | undefined) => watched.provider.status().managers.find(manager => manager.endpoint === endpoint)
    await until('its reason', () => /expected JSON/.test(of(html.endpoint)?.lastError ?? ''), 20_000, {
      detail: () => JSON.stringify(watched.provider.status()),
    })
    assert.is(of(managers[0])?.current, true)
    await watched.provider.stop()
    await Promise.all([html.close(), silent.close()])
  })
})

test('three replicas that see each other in the swarm read from three managers', async () => {
  await withSwarm(async (swarm, managers) => {
    swarm.createService({ name: 'edge', networks: ['web'], replicas: 3, labels: { 'skein.replica': 'edge' } })
    await swarm.settled()
    const names = new Set(
      [...swarm.tasks('edge')].map(task => swarm.state.nodes.get(task.NodeID ?? '')?.Description.Hostname ?? ''),
    )
    const replicas = [...names].map(name => watch(managers, { name }))
    for (const replica of replicas) await replica.until('services', active(3))
    await until(
      'different managers',
      () => new Set(replicas.map(replica => replica.current())).size === Math.min(names.size, 3),
      20_000,
      { detail: () => replicas.map(replica => replica.current()).join(' ') },
    )
    await Promise.all(replicas.map(replica => replica.provider.stop()))
  })
})

test('no manager at all: it starts, logs that, emits nothing and stops', async () => {
  const watched = watch(['tcp://127.0.0.1:1', 'http://nonsense'])
  await until('told', () => watched.lines.some(line => line.includes('no manager answers')), 20_000, {
    detail: () => watched.lines.join(''),
  })
  assert.equal(watched.emitted, [])
  assert.not.ok(watched.provider.status().synced)
  assert.ok(watched.lines.some(line => line.includes('http://nonsense')))
  await watched.provider.stop()
})

test.run()
