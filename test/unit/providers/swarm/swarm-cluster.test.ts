// Providers of several replicas against the emulated swarm: one reads, the others listen. Who calls what, what happens as they change
// places, as managers die, and as the manager of the one that reads goes deaf.

import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import pino from 'pino'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type RunningAgent, startAgent } from '../../../../src/agent/agent.ts'
import type { DynamicConfig } from '../../../../src/config/model.ts'
import { createClock } from '../../../../src/demo/emulator/clock.ts'
import { createEmulatedSwarm, type EmulatedSwarm } from '../../../../src/demo/emulator/swarm.ts'
import type { DiscoveredService } from '../../../../src/providers/discovered.ts'
import type { Provider } from '../../../../src/providers/provider.ts'
import { createSwarmProvider } from '../../../../src/providers/swarm/swarm-provider.ts'

const SECRET = 'a secret of the cluster'

interface Replica {
  readonly provider: Provider
  readonly lines: string[]
  readonly emitted: (readonly DiscoveredService[])[]
  readonly saw: string[]
  /** What was told of the manager, oldest first. */
  readonly told: string[]
  current(): string
}

interface Plan {
  readonly managers: readonly string[]
  readonly name?: string
  readonly members?: readonly string[]
  readonly mode?: 'read' | 'listen'
  readonly learn?: boolean
}

const replicas: Replica[] = []

function start({ managers, name = 'e1', members = [name], mode = 'read', learn = false }: Plan): Replica {
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
      saw: keys => void saw.push(...keys),
      manager: (manager, healthy) => void told.push(`${manager} ${healthy ? 'well' : 'not well'}`),
      members: () => members,
    },
    { timing: { tickMs: 50, probeMs: 100, probeRestMs: 500, probeListenMs: 200, returnAfterMs: 800 }, container: null },
  )
  if (mode === 'listen') provider.setMode('listen')
  provider.start(config => emitted.push((config as DynamicConfig & { found: readonly DiscoveredService[] }).found))
  const current = (): string => provider.status().managers.find(manager => manager.current)?.endpoint ?? ''
  const replica = { provider, lines, emitted, saw, told, current }
  replicas.push(replica)
  return replica
}

test.after.each(async () => {
  await Promise.all(replicas.splice(0).map(({ provider }) => provider.stop()))
})

async function eventually(what: string, condition: () => boolean, detail: () => unknown = () => ''): Promise<void> {
  const end = Date.now() + 15_000
  while (!condition()) {
    if (Date.now() > end) throw new Error(`${what}: never came; last: ${String(detail())}`)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}

const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

async function withSwarm(work: (swarm: EmulatedSwarm, managers: readonly string[]) => Promise<void>, speed = 10): Promise<void> {
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

/** It knows which node is behind each endpoint, and has gone over to the manager that it prefers. */
async function placed({ provider }: Replica): Promise<void> {
  const known = (): boolean => provider.status().managers.every(({ hostname }) => hostname !== null)
  await eventually('all identified', known)
  await pause(200)
}

/** All calls but event streams, of all managers. */
function calls(swarm: EmulatedSwarm): number {
  const counts = ['m1', 'm2', 'm3'].flatMap(name => [...swarm.calls(name)])
  return counts.reduce((sum, [path, count]) => sum + (path === '/events' ? 0 : count), 0)
}

function streams(swarm: EmulatedSwarm): number {
  return ['m1', 'm2', 'm3'].reduce((sum, name) => sum + (swarm.calls(name).get('/events') ?? 0), 0)
}

const wellAt = (replica: Replica): boolean => replica.told.at(-1)?.endsWith(' well') === true && !isUnwell(replica)
const isUnwell = (replica: Replica): boolean => replica.told.at(-1)?.endsWith('not well') === true
const whole = (services: readonly DiscoveredService[] | undefined, name = 'web', count = 3): boolean =>
  services?.find(service => service.name === name)?.instances.filter(({ state }) => state === 'active').length === count

test('who listens opens event streams and makes no other call, whatever happens', async () => {
  await withSwarm(async (swarm, managers) => {
    const members = ['e1', 'e2', 'e3']
    const listeners = members.map(name => start({ managers, name, members, mode: 'listen', learn: true }))
    for (const one of listeners)
      await eventually(
        'well',
        () => wellAt(one),
        () => one.told,
      )
    swarm.roll('web')
    await eventually('told of it by all', () => listeners.every(({ saw }) => saw.some(key => key.startsWith('service:update:'))))
    await swarm.killManager('m2')
    await pause(500)
    assert.is(calls(swarm), 0)
    assert.ok(streams(swarm) >= 3)
    for (const { emitted, provider } of listeners) {
      assert.equal(emitted, [])
      assert.not.ok(provider.status().synced)
    }
  })
})

test('two listeners more make no call more', async () => {
  await withSwarm(async (swarm, managers) => {
    const members = ['e1', 'e2', 'e3']
    const leader = start({ managers, name: 'e1', members, learn: true })
    await eventually('read', () => whole(leader.emitted.at(-1)))
    const listeners = ['e2', 'e3'].map(name => start({ managers, name, members, mode: 'listen', learn: true }))
    for (const one of listeners) one.provider.adopt(JSON.parse(JSON.stringify(leader.provider.shared())))
    await eventually('all different', () => new Set([leader, ...listeners].map(one => one.current())).size === 3)
    await leader.provider.stop()
    const before = calls(swarm)
    await pause(600)
    assert.is(calls(swarm), before)
  })
})

test('the keys of an event are the same on every manager, and a burst is told once', async () => {
  await withSwarm(async (swarm, managers) => {
    const listeners = managers.map((manager, i) => start({ managers: [manager], name: `e${i}`, mode: 'listen' }))
    for (const one of listeners)
      await eventually(
        'well',
        () => wellAt(one),
        () => one.told,
      )
    swarm.roll('web')
    await eventually('the end of the update', () => listeners.every(({ saw }) => saw.some(key => key.endsWith('completed'))))
    const sets = listeners.map(({ saw }) => JSON.stringify([...new Set(saw)].sort()))
    assert.is(new Set(sets).size, 1, sets.join('\n'))
    assert.ok(listeners[0]?.saw.every(key => /^(service|node|network):[a-z]+:[a-z0-9]+(:[a-z]+=[a-z]+)*$/.test(key)))
  })
})

test('taking over: everything is read at once, and told even if nothing has changed; giving over: not one more call', async () => {
  await withSwarm(async (swarm, managers) => {
    const one = start({ managers })
    await eventually('read', () => whole(one.emitted.at(-1)))
    await pause(300)
    const settled = one.emitted.length
    one.provider.setMode('listen')
    const then = calls(swarm)
    await pause(700)
    assert.ok(calls(swarm) - then <= 0, `${calls(swarm) - then} calls`)
    assert.is(one.emitted.length, settled)
    assert.ok(one.provider.status().synced, 'it has read once in its life')
    assert.is(one.provider.status().lastSuccessMs, null)
    assert.ok(wellAt(one), one.told.join())

    const at = Date.now()
    one.provider.setMode('read')
    await eventually('told again', () => one.emitted.length > settled)
    assert.ok(Date.now() - at < 1_000, `${Date.now() - at} ms`)
    assert.ok(whole(one.emitted.at(-1)))
    await pause(300)
    assert.is(one.emitted.length, settled + 1)
  })
})

test('what was known when it led before is not mixed with what is read now', async () => {
  await withSwarm(async (swarm, managers) => {
    const one = start({ managers })
    await eventually('read', () => whole(one.emitted.at(-1)))
    const old = new Set(one.emitted.at(-1)?.[0]?.instances.map(({ id }) => id))
    one.provider.setMode('listen')
    swarm.roll('web')
    swarm.createService({ name: 'new', networks: ['web'], replicas: 1, labels: {} })
    await swarm.settled()
    const settled = one.emitted.length
    one.provider.setMode('read')
    await eventually('told', () => one.emitted.length > settled)
    for (const services of one.emitted.slice(settled)) {
      assert.ok(whole(services) && whole(services, 'new', 1), JSON.stringify(services))
      assert.not.ok(services.some(({ instances }) => instances.some(({ id }) => old.has(id))))
    }
  })
})

test('to and fro within one read: nothing of the read before is taken over, nothing is lost', async () => {
  await withSwarm(async (_swarm, managers) => {
    const one = start({ managers })
    for (let i = 0; i < 40; i++) {
      one.provider.setMode(i % 2 === 0 ? 'listen' : 'read')
      await pause(i % 7)
    }
    await eventually('read', () => whole(one.emitted.at(-1)))
    assert.ok(one.emitted.every(services => whole(services)))
  })
})

test('a listener whose manager dies goes to the next, and comes back when its own has been well for a while', async () => {
  await withSwarm(async (swarm, managers) => {
    const one = start({ managers, mode: 'listen' })
    await eventually(
      'well',
      () => wellAt(one),
      () => one.told,
    )
    const first = one.current()
    const name = `m${managers.indexOf(first) + 1}`
    await swarm.killManager(name)
    const at = Date.now()
    await eventually(
      'another',
      () => one.current() !== first && wellAt(one),
      () => one.told,
    )
    assert.ok(Date.now() - at < 500, `${Date.now() - at} ms`)
    swarm.createService({ name: 'new', networks: ['web'], replicas: 1, labels: {} })
    await eventually('hears', () => one.saw.some(key => key.startsWith('service:create:')))
    await swarm.reviveManager(name)
    const back = Date.now()
    await eventually(
      'returned',
      () => one.current() === first && wellAt(one),
      () => one.lines.join(''),
    )
    assert.ok(Date.now() - back >= 700, `${Date.now() - back} ms`)
    assert.is(calls(swarm), 0)
  })
})

test('a listener that reaches no manager says so, and that it does again', async () => {
  await withSwarm(async (swarm, managers) => {
    const one = start({ managers, mode: 'listen' })
    await eventually(
      'well',
      () => wellAt(one),
      () => one.told,
    )
    for (const name of ['m1', 'm2', 'm3']) await swarm.killManager(name)
    await eventually(
      'not well',
      () => isUnwell(one),
      () => one.told,
    )
    await swarm.reviveManager('m3')
    await eventually(
      'well again',
      () => wellAt(one),
      () => one.lines.join(''),
    )
    assert.is(one.current(), managers[2])
  })
})

test('while the swarm elects a leader, neither who reads nor who listens calls its manager unwell', async () => {
  await withSwarm(async (swarm, managers) => {
    const live = managers.slice(1)
    const reads = start({ managers: live, name: 'e1' })
    const listens = start({ managers: live, name: 'e2', mode: 'listen' })
    await eventually('read', () => whole(reads.emitted.at(-1)))
    await eventually('well', () => wellAt(reads) && wellAt(listens))
    const before = [reads.told.length, listens.told.length]
    await swarm.killManager('m1')
    await eventually('an end of it', () => swarm.leader() !== null)
    swarm.createService({ name: 'new', networks: ['web'], replicas: 1, labels: {} })
    await eventually('read on', () => whole(reads.emitted.at(-1), 'new', 1))
    const told = [...reads.told.slice(before[0]), ...listens.told.slice(before[1])]
    assert.not.ok(
      told.some(text => text.endsWith('not well')),
      told.join('\n'),
    )
    assert.ok(reads.lines.some(line => line.includes('the manager hangs')))
  }, 2)
})

test('a manager that tells no events: hints make up for it, and make the leader move', async () => {
  await withSwarm(async (swarm, managers) => {
    const leader = start({ managers, name: 'e1' })
    await eventually('read', () => whole(leader.emitted.at(-1)))
    await eventually(
      'well',
      () => wellAt(leader),
      () => leader.told,
    )
    await placed(leader)
    const first = leader.current()
    swarm.setDeaf(`m${managers.indexOf(first) + 1}`, true)
    const other = start({ managers: managers.filter(manager => manager !== first), name: 'e2', mode: 'listen' })
    await eventually(
      'well',
      () => wellAt(other),
      () => other.told,
    )
    await pause(200)

    swarm.createService({ name: 'one', networks: ['web'], replicas: 1, labels: {} })
    await eventually('heard by the other', () => other.saw.length > 0)
    await swarm.settled()
    assert.not.ok(whole(leader.emitted.at(-1), 'one', 1), 'deaf')
    leader.provider.hint(other.saw.splice(0))
    await eventually('read for the hint', () => whole(leader.emitted.at(-1), 'one', 1))
    assert.is(leader.current(), first, 'once is not enough')

    await pause(1_600)
    swarm.createService({ name: 'two', networks: ['web'], replicas: 1, labels: {} })
    await eventually('heard by the other', () => other.saw.length > 0)
    leader.provider.hint(other.saw.splice(0))
    await eventually(
      'moved',
      () => leader.current() !== first,
      () => leader.lines.join(''),
    )
    await eventually('read', () => whole(leader.emitted.at(-1), 'two', 1))
    assert.ok(leader.lines.some(line => line.includes('other replicas hear')))
    const { saw } = leader
    saw.splice(0)
    swarm.createService({ name: 'three', networks: ['web'], replicas: 1, labels: {} })
    await eventually('hears again', () => saw.some(key => key.startsWith('service:create:')))
  })
})

test('hints of events that it has heard itself do not move it', async () => {
  await withSwarm(async (swarm, managers) => {
    const leader = start({ managers })
    await eventually('read', () => whole(leader.emitted.at(-1)))
    await placed(leader)
    const first = leader.current()
    for (const name of ['one', 'two', 'three']) {
      leader.saw.splice(0)
      swarm.createService({ name, networks: ['web'], replicas: 1, labels: {} })
      await eventually('heard', () => leader.saw.length > 0)
      leader.provider.hint([...leader.saw])
      await pause(600)
    }
    assert.is(leader.current(), first)
    assert.not.ok(leader.lines.some(line => line.includes('cannot be used')))
  })
})

test('followers learn the managers and the nodes of the replicas from what the leader shares', async () => {
  await withSwarm(async (swarm, managers) => {
    swarm.createService({ name: 'edge', networks: ['web'], replicas: 3, labels: { 'skein.replica': 'edge' } })
    await swarm.settled()
    const nodeOf = (id = '') => swarm.state.nodes.get(id)
    const nodes = new Map(
      swarm.tasks('edge').map(({ NodeID }) => [nodeOf(NodeID)?.Description.Hostname ?? '', nodeOf(NodeID)?.Status.Addr ?? '']),
    )
    const [name = ''] = nodes.keys()
    const leader = start({ managers: managers.slice(0, 1), name, members: [name, 'e2'], learn: true })
    await eventually('read', () => whole(leader.emitted.at(-1)))
    await eventually('learned', () => leader.provider.status().managers.length === 3)
    await eventually('shared', () => leader.provider.nodeAddresses().size === nodes.size)
    assert.equal([...leader.provider.nodeAddresses()].sort(), [...nodes].sort())

    const follower = start({ managers: managers.slice(0, 1), name: 'e2', members: [name, 'e2'], mode: 'listen', learn: true })
    await eventually('well', () => wellAt(follower))
    follower.provider.adopt({ managers: [{ endpoint: 'unix:///var/run/docker.sock', nodeId: 'x', hostname: '' }] })
    follower.provider.adopt('nonsense')
    assert.is(follower.provider.status().managers.length, 1)
    follower.provider.adopt(JSON.parse(JSON.stringify(leader.provider.shared())))
    assert.is(follower.provider.status().managers.length, 3)
    assert.equal([...follower.provider.nodeAddresses()].sort(), [...nodes].sort())
    await eventually('another manager than the leader', () => follower.current() !== leader.current() && wellAt(follower))
    assert.match(follower.told.at(-1) ?? '', /^m\d \(tcp:/)

    // Only what is shared changes: it is emitted all the same.
    const count = leader.emitted.length
    const gone = [...nodes.keys()].at(-1) ?? ''
    await swarm.killNode(gone)
    await eventually('emitted', () => leader.emitted.length > count)
    assert.ok(leader.provider.nodeAddresses().has(gone), 'a lost node may still be there for its peers')
  })
})

test('an endpoint of another swarm is told and not used', async () => {
  await withSwarm(async (_swarm, managers) => {
    const other = createEmulatedSwarm({ managers: 1, workers: 0, addressPrefix: '127.0.9.', clock: createClock(10) })
    const [stranger = ''] = (await other.listen()).managers
    try {
      const one = start({ managers: [managers[0] ?? ''], members: ['e1'] })
      await eventually('read', () => whole(one.emitted.at(-1)))
      await one.provider.stop()
      const both = start({ managers: [...managers, stranger] })
      await eventually(
        'told',
        () => both.lines.some(line => line.includes('another swarm')),
        () => both.lines.join(''),
      )
      await eventually('read', () => both.emitted.length > 0)
      const listed = both.provider.status().managers.filter(({ lastError }) => lastError?.includes('another swarm'))
      assert.is(listed.length > 0, true)
      assert.not.ok(listed.some(({ current }) => current))
    } finally {
      await Promise.all(replicas.splice(0).map(({ provider }) => provider.stop()))
      await other.close()
    }
  })
})

test('through agents: who listens is well by heartbeats, and makes the agents make no call', async () => {
  await withSwarm(async (swarm, managers) => {
    const agents: RunningAgent[] = []
    const listen = { host: '127.0.0.1', port: 0 }
    const log = pino({ level: 'silent' })
    for (const docker of managers)
      agents.push(await startAgent({ listen, docker, secrets: [SECRET], log: { level: 'info', format: 'json' } }, log))
    try {
      // Each agent looks once, as it starts, whether its Docker is there.
      await eventually('looked', () => calls(swarm) === 3)
      const endpoints = agents.map(({ port }) => `agent://127.0.0.1:${port}`)
      const one = start({ managers: endpoints, mode: 'listen' })
      await eventually(
        'well',
        () => wellAt(one),
        () => one.lines.join(''),
      )
      const told = one.told.length
      await pause(4_200)
      assert.match(one.told.at(-1) ?? '', / well$/)
      assert.is(one.told.length, told, one.told.join())
      assert.is(streams(swarm), 1)
      assert.is(calls(swarm), 3)
      const first = one.current()
      await agents[endpoints.indexOf(first)]?.stop()
      await eventually(
        'another',
        () => one.current() !== first && wellAt(one),
        () => one.told,
      )
      one.provider.setMode('read')
      await eventually('read', () => whole(one.emitted.at(-1)))
    } finally {
      await Promise.all(replicas.splice(0).map(({ provider }) => provider.stop()))
      await Promise.all(agents.map(agent => agent.stop()))
    }
  })
})

/** Passes connections on to a port until it is cut: then nothing comes through any more, and nothing is closed. */
async function wire(port: number): Promise<{ readonly port: number; cut(): void; close(): void }> {
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

test('cut off from all managers without a word: who reads says so in time for another to lead, who listens somewhat later', async () => {
  await withSwarm(async (_swarm, managers) => {
    const log = pino({ level: 'silent' })
    const options = { listen: { host: '127.0.0.1', port: 0 }, secrets: [SECRET], log: { level: 'info', format: 'json' } } as const
    const agents = await Promise.all(managers.map(docker => startAgent({ ...options, docker }, log)))
    const wires = await Promise.all(agents.map(({ port }) => wire(port)))
    try {
      const endpoints = wires.map(({ port }) => `agent://127.0.0.1:${port}`)
      const reads = start({ managers: endpoints, name: 'e1' })
      const listens = start({ managers: endpoints, name: 'e2', mode: 'listen' })
      await eventually('read', () => whole(reads.emitted.at(-1)))
      await eventually('well', () => wellAt(reads) && wellAt(listens))
      await pause(1_200)
      for (const one of wires) one.cut()
      const at = performance.now()
      await eventually(
        'said by who reads',
        () => isUnwell(reads),
        () => reads.lines.join(''),
      )
      // 1 s of silence and 0.7 s for a ping; the rest is for a busy machine.
      assert.ok(performance.now() - at < 2_500, `${performance.now() - at} ms`)
      await eventually(
        'said by who listens',
        () => isUnwell(listens),
        () => listens.lines.join(''),
      )
      assert.ok(performance.now() - at < 5_000, `${performance.now() - at} ms`)
    } finally {
      await Promise.all(replicas.splice(0).map(({ provider }) => provider.stop()))
      for (const one of wires) one.close()
      await Promise.all(agents.map(agent => agent.stop()))
    }
  })
})

test.run()
