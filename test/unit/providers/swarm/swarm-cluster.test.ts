// Providers of several replicas on the emulated swarm, one in mode read, the others in mode listen: which calls they make, what
// happens when modes change and managers die, and what they adopt from each other.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createClock } from '../../../../src/emulator/clock.ts'
import { createEmulatedSwarm } from '../../../../src/emulator/swarm.ts'
import { until } from '../../../until.ts'
import { calls, pause, replicas, start, streams, wellAt, whole, withSwarm } from './replicas.ts'

test('mode listen: event streams only, no other call', async () => {
  await withSwarm(async (swarm, managers) => {
    const members = ['e1', 'e2', 'e3']
    const listeners = members.map(name => start({ managers, name, members, mode: 'listen', learn: true }))
    for (const one of listeners) await until('well', () => wellAt(one), 15_000, { detail: () => one.told })
    swarm.roll('web')
    await until(
      'told of it by all',
      () => listeners.every(({ saw }) => saw.some(key => key.startsWith('service:update:'))),
      15_000,
    )
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

test('two more listeners cause no more calls', async () => {
  await withSwarm(async (swarm, managers) => {
    const members = ['e1', 'e2', 'e3']
    const leader = start({ managers, name: 'e1', members, learn: true })
    await until('read', () => whole(leader.emitted.at(-1)), 15_000)
    const listeners = ['e2', 'e3'].map(name => start({ managers, name, members, mode: 'listen', learn: true }))
    for (const one of listeners) one.provider.cluster.adopt(JSON.parse(JSON.stringify(leader.provider.cluster.shared())))
    await until('all different', () => new Set([leader, ...listeners].map(one => one.current())).size === 3, 15_000)
    await leader.provider.stop()
    const before = calls(swarm)
    await pause(600)
    assert.is(calls(swarm), before)
  })
})

test('to read: everything is read and emitted at once; to listen: no further call', async () => {
  await withSwarm(async (swarm, managers) => {
    const one = start({ managers })
    await until('read', () => whole(one.emitted.at(-1)), 15_000)
    await pause(300)
    const settled = one.emitted.length
    one.provider.cluster.setMode('listen')
    const then = calls(swarm)
    await pause(700)
    assert.ok(calls(swarm) - then <= 0, `${calls(swarm) - then} calls`)
    assert.is(one.emitted.length, settled)
    assert.ok(one.provider.status().synced, 'it has read once in its life')
    assert.is(one.provider.status().lastSuccessMs, null)
    assert.ok(wellAt(one), one.told.join())

    const at = Date.now()
    one.provider.cluster.setMode('read')
    await until('told again', () => one.emitted.length > settled, 15_000)
    assert.ok(Date.now() - at < 1_000, `${Date.now() - at} ms`)
    assert.ok(whole(one.emitted.at(-1)))
    await pause(300)
    assert.is(one.emitted.length, settled + 1)
  })
})

test('state from an earlier term is not mixed with a new read', async () => {
  await withSwarm(async (swarm, managers) => {
    const one = start({ managers })
    await until('read', () => whole(one.emitted.at(-1)), 15_000)
    const old = new Set(one.emitted.at(-1)?.[0]?.instances.map(({ id }) => id))
    one.provider.cluster.setMode('listen')
    swarm.roll('web')
    swarm.createService({ name: 'new', networks: ['web'], replicas: 1, labels: {} })
    await swarm.settled()
    const settled = one.emitted.length
    one.provider.cluster.setMode('read')
    await until('told', () => one.emitted.length > settled, 15_000)
    for (const services of one.emitted.slice(settled)) {
      assert.ok(whole(services) && whole(services, 'new', 1), JSON.stringify(services))
      assert.not.ok(services.some(({ instances }) => instances.some(({ id }) => old.has(id))))
    }
  })
})

test('mode changes during a read: no result of an earlier read is used, none is lost', async () => {
  await withSwarm(async (_swarm, managers) => {
    const one = start({ managers })
    for (let i = 0; i < 40; i++) {
      one.provider.cluster.setMode(i % 2 === 0 ? 'listen' : 'read')
      await pause(i % 7)
    }
    await until('read', () => whole(one.emitted.at(-1)), 15_000)
    assert.ok(one.emitted.every(services => whole(services)))
  })
})

test('a listener whose manager dies uses the next, and returns once its own is healthy', async () => {
  await withSwarm(async (swarm, managers) => {
    const one = start({ managers, mode: 'listen' })
    await until('well', () => wellAt(one), 15_000, { detail: () => one.told })
    const first = one.current()
    const name = `m${managers.indexOf(first) + 1}`
    await swarm.killManager(name)
    const at = Date.now()
    await until('another', () => one.current() !== first && wellAt(one), 15_000, { detail: () => one.told })
    assert.ok(Date.now() - at < 500, `${Date.now() - at} ms`)
    swarm.createService({ name: 'new', networks: ['web'], replicas: 1, labels: {} })
    await until('hears', () => one.saw.some(key => key.startsWith('service:create:')), 15_000)
    await swarm.reviveManager(name)
    const back = Date.now()
    await until('returned', () => one.current() === first && wellAt(one), 15_000, { detail: () => one.lines.join('') })
    assert.ok(Date.now() - back >= 700, `${Date.now() - back} ms`)
    assert.is(calls(swarm), 0)
  })
})

test("followers adopt managers and node addresses from the leader's facts", async () => {
  await withSwarm(async (swarm, managers) => {
    swarm.createService({ name: 'edge', networks: ['web'], replicas: 3, labels: { 'skein.replica': 'edge' } })
    await swarm.settled()
    const nodeOf = (id = '') => swarm.state.nodes.get(id)
    const nodes = new Map(
      swarm.tasks('edge').map(({ NodeID }) => [nodeOf(NodeID)?.Description.Hostname ?? '', nodeOf(NodeID)?.Status.Addr ?? '']),
    )
    const [name = ''] = nodes.keys()
    const leader = start({ managers: managers.slice(0, 1), name, members: [name, 'e2'], learn: true })
    await until('read', () => whole(leader.emitted.at(-1)), 15_000)
    await until('learned', () => leader.provider.status().managers.length === 3, 15_000)
    await until('shared', () => leader.provider.cluster.nodeAddresses().size === nodes.size, 15_000)
    assert.equal([...leader.provider.cluster.nodeAddresses()].sort(), [...nodes].sort())

    const follower = start({ managers: managers.slice(0, 1), name: 'e2', members: [name, 'e2'], mode: 'listen', learn: true })
    await until('well', () => wellAt(follower), 15_000)
    follower.provider.cluster.adopt({ managers: [{ endpoint: 'unix:///var/run/docker.sock', nodeId: 'x', hostname: '' }] })
    follower.provider.cluster.adopt('nonsense')
    assert.is(follower.provider.status().managers.length, 1)
    follower.provider.cluster.adopt(JSON.parse(JSON.stringify(leader.provider.cluster.shared())))
    assert.is(follower.provider.status().managers.length, 3)
    assert.equal([...follower.provider.cluster.nodeAddresses()].sort(), [...nodes].sort())
    await until('another manager than the leader', () => follower.current() !== leader.current() && wellAt(follower), 15_000)
    assert.match(follower.told.at(-1) ?? '', /^m\d \(tcp:/)

    // Only the shared facts change; they are emitted too.
    const count = leader.emitted.length
    const gone = [...nodes.keys()].at(-1) ?? ''
    await swarm.killNode(gone)
    await until('emitted', () => leader.emitted.length > count, 15_000)
    assert.ok(leader.provider.cluster.nodeAddresses().has(gone), 'a lost node may still be there for its peers')
  })
})

test('an endpoint of another swarm is reported and not used', async () => {
  await withSwarm(async (_swarm, managers) => {
    const other = createEmulatedSwarm({ managers: 1, workers: 0, addressPrefix: '127.0.9.', clock: createClock(10) })
    const [stranger = ''] = (await other.listen()).managers
    try {
      const one = start({ managers: [managers[0] ?? ''], members: ['e1'] })
      await until('read', () => whole(one.emitted.at(-1)), 15_000)
      await one.provider.stop()
      const both = start({ managers: [...managers, stranger] })
      await until('told', () => both.lines.some(line => line.includes('another swarm')), 15_000, {
        detail: () => both.lines.join(''),
      })
      await until('read', () => both.emitted.length > 0, 15_000)
      const listed = both.provider.status().managers.filter(({ lastError }) => lastError?.includes('another swarm'))
      assert.is(listed.length > 0, true)
      assert.not.ok(listed.some(({ current }) => current))
    } finally {
      await Promise.all(replicas.splice(0).map(({ provider }) => provider.stop()))
      await other.close()
    }
  })
})

test.run()
