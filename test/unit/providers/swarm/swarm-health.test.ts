// What replicas receive from their managers and report about them: events and hints, managers that send no events, that die,
// that stop answering.

import pino from 'pino'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type RunningAgent, startAgent } from '../../../../src/agent/agent.ts'
import { until } from '../../../until.ts'
import { calls, isUnwell, pause, placed, replicas, SECRET, start, streams, wellAt, whole, wire, withSwarm } from './replicas.ts'

test('the key of an event is the same on every manager, and a burst is announced once', async () => {
  await withSwarm(async (swarm, managers) => {
    const listeners = managers.map((manager, i) => start({ managers: [manager], name: `e${i}`, mode: 'listen' }))
    for (const one of listeners) await until('well', () => wellAt(one), 15_000, { detail: () => one.told })
    swarm.roll('web')
    await until('the end of the update', () => listeners.every(({ saw }) => saw.some(key => key.endsWith('completed'))), 15_000)
    const sets = listeners.map(({ saw }) => JSON.stringify([...new Set(saw)].sort()))
    assert.is(new Set(sets).size, 1, sets.join('\n'))
    assert.ok(listeners[0]?.saw.every(key => /^(service|node|network):[a-z]+:[a-z0-9]+(:[a-z]+=[a-z]+)*$/.test(key)))
  })
})

test('a listener without a reachable manager is unhealthy until it reaches one', async () => {
  await withSwarm(async (swarm, managers) => {
    const one = start({ managers, mode: 'listen' })
    await until('well', () => wellAt(one), 15_000, { detail: () => one.told })
    for (const name of ['m1', 'm2', 'm3']) await swarm.killManager(name)
    await until('not well', () => isUnwell(one), 15_000, { detail: () => one.told })
    await swarm.reviveManager('m3')
    await until('well again', () => wellAt(one), 15_000, { detail: () => one.lines.join('') })
    assert.is(one.current(), managers[2])
  })
})

test('an election of the swarm: neither reader nor listener reports an unhealthy manager', async () => {
  await withSwarm(async (swarm, managers) => {
    const live = managers.slice(1)
    const reads = start({ managers: live, name: 'e1' })
    const listens = start({ managers: live, name: 'e2', mode: 'listen' })
    await until('read', () => whole(reads.emitted.at(-1)), 15_000)
    await until('well', () => wellAt(reads) && wellAt(listens), 15_000)
    const before = [reads.told.length, listens.told.length]
    await swarm.killManager('m1')
    await until('an end of it', () => swarm.leader() !== null, 15_000)
    swarm.createService({ name: 'new', networks: ['web'], replicas: 1, labels: {} })
    await until('read on', () => whole(reads.emitted.at(-1), 'new', 1), 15_000)
    const told = [...reads.told.slice(before[0]), ...listens.told.slice(before[1])]
    assert.not.ok(
      told.some(text => text.endsWith('not well')),
      told.join('\n'),
    )
    assert.ok(reads.lines.some(line => line.includes('the manager hangs')))
  }, 2)
})

test('a manager without events: hints replace them, then the leader changes its manager', async () => {
  await withSwarm(async (swarm, managers) => {
    const leader = start({ managers, name: 'e1' })
    await until('read', () => whole(leader.emitted.at(-1)), 15_000)
    await until('well', () => wellAt(leader), 15_000, { detail: () => leader.told })
    await placed(leader)
    const first = leader.current()
    swarm.setEventsSuppressed(`m${managers.indexOf(first) + 1}`, true)
    const other = start({ managers: managers.filter(manager => manager !== first), name: 'e2', mode: 'listen' })
    await until('well', () => wellAt(other), 15_000, { detail: () => other.told })
    await pause(200)

    swarm.createService({ name: 'one', networks: ['web'], replicas: 1, labels: {} })
    await until('heard by the other', () => other.saw.length > 0, 15_000)
    await swarm.settled()
    assert.not.ok(whole(leader.emitted.at(-1), 'one', 1), 'deaf')
    leader.provider.cluster.hint(other.saw.splice(0))
    await until('read for the hint', () => whole(leader.emitted.at(-1), 'one', 1), 15_000)
    assert.is(leader.current(), first, 'once is not enough')

    await pause(1_600)
    swarm.createService({ name: 'two', networks: ['web'], replicas: 1, labels: {} })
    await until('heard by the other', () => other.saw.length > 0, 15_000)
    leader.provider.cluster.hint(other.saw.splice(0))
    await until('moved', () => leader.current() !== first, 15_000, { detail: () => leader.lines.join('') })
    await until('read', () => whole(leader.emitted.at(-1), 'two', 1), 15_000)
    assert.ok(leader.lines.some(line => line.includes('other replicas receive')))
    const { saw } = leader
    saw.splice(0)
    swarm.createService({ name: 'three', networks: ['web'], replicas: 1, labels: {} })
    await until('hears again', () => saw.some(key => key.startsWith('service:create:')), 15_000)
  })
})

test('hints of events that it received do not change the manager', async () => {
  await withSwarm(async (swarm, managers) => {
    const leader = start({ managers })
    await until('read', () => whole(leader.emitted.at(-1)), 15_000)
    await placed(leader)
    const first = leader.current()
    for (const name of ['one', 'two', 'three']) {
      leader.saw.splice(0)
      swarm.createService({ name, networks: ['web'], replicas: 1, labels: {} })
      await until('heard', () => leader.saw.length > 0, 15_000)
      leader.provider.cluster.hint([...leader.saw])
      await pause(600)
    }
    assert.is(leader.current(), first)
    assert.not.ok(leader.lines.some(line => line.includes('cannot be used')))
  })
})

test('through agents: a listener is healthy by heartbeats, without calls to Docker', async () => {
  await withSwarm(async (swarm, managers) => {
    const agents: RunningAgent[] = []
    const listen = { host: '127.0.0.1', port: 0 }
    const log = pino({ level: 'silent' })
    for (const docker of managers)
      agents.push(await startAgent({ listen, docker, secrets: [SECRET], log: { level: 'info', format: 'json' } }, log))
    try {
      // Each agent checks its Docker once, at its start.
      await until('looked', () => calls(swarm) === 3, 15_000)
      const endpoints = agents.map(({ port }) => `agent://127.0.0.1:${port}`)
      const one = start({ managers: endpoints, mode: 'listen' })
      await until('well', () => wellAt(one), 15_000, { detail: () => one.lines.join('') })
      const told = one.told.length
      await pause(4_200)
      assert.match(one.told.at(-1) ?? '', / well$/)
      assert.is(one.told.length, told, one.told.join())
      assert.is(streams(swarm), 1)
      assert.is(calls(swarm), 3)
      const first = one.current()
      await agents[endpoints.indexOf(first)]?.stop()
      await until('another', () => one.current() !== first && wellAt(one), 15_000, { detail: () => one.told })
      one.provider.cluster.setMode('read')
      await until('read', () => whole(one.emitted.at(-1)), 15_000)
    } finally {
      await Promise.all(replicas.splice(0).map(({ provider }) => provider.stop()))
      await Promise.all(agents.map(agent => agent.stop()))
    }
  })
})

test('silently cut off from all managers: the reader reports it first, then the listener', async () => {
  await withSwarm(async (_swarm, managers) => {
    const log = pino({ level: 'silent' })
    const options = { listen: { host: '127.0.0.1', port: 0 }, secrets: [SECRET], log: { level: 'info', format: 'json' } } as const
    const agents = await Promise.all(managers.map(docker => startAgent({ ...options, docker }, log)))
    const wires = await Promise.all(agents.map(({ port }) => wire(port)))
    try {
      const endpoints = wires.map(({ port }) => `agent://127.0.0.1:${port}`)
      const reads = start({ managers: endpoints, name: 'e1' })
      const listens = start({ managers: endpoints, name: 'e2', mode: 'listen' })
      await until('read', () => whole(reads.emitted.at(-1)), 15_000)
      await until('well', () => wellAt(reads) && wellAt(listens), 15_000)
      await pause(1_200)
      for (const one of wires) one.cut()
      const at = performance.now()
      await until('said by who reads', () => isUnwell(reads), 15_000, { detail: () => reads.lines.join('') })
      // 1 s of silence and 0.7 s for a ping; the rest is for a busy machine.
      assert.ok(performance.now() - at < 2_500, `${performance.now() - at} ms`)
      await until('said by who listens', () => isUnwell(listens), 15_000, { detail: () => listens.lines.join('') })
      assert.ok(performance.now() - at < 5_000, `${performance.now() - at} ms`)
    } finally {
      await Promise.all(replicas.splice(0).map(({ provider }) => provider.stop()))
      for (const one of wires) one.close()
      await Promise.all(agents.map(agent => agent.stop()))
    }
  })
})

test.run()
