// The facts that the leader replicates: what is built is parsed again, malformed facts are refused, and which addresses they
// contain.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { nodeSchema, serviceSchema, taskSchema } from '../../../../src/providers/docker-api/schemas.ts'
import {
  buildSharedFacts,
  createReplicaNodes,
  NO_SHARED_FACTS,
  parseSharedFacts,
  type Replicas,
} from '../../../../src/providers/swarm/shared-facts.ts'
import type { Swarm } from '../../../../src/providers/swarm/sibling-replicas.ts'
import { rawManager, rawNode, rawService, rawTask } from './objects.ts'

const m1 = { endpoint: 'agent://10.77.0.1:7999', nodeId: 'n1', hostname: 'm1' }
const known = { managers: [m1], identified: [], nodes: ['n1'] }
const nobody: Replicas = { service: '', list: [] }

/** One read by a replica with the facts `before`. */
function replicasOf(one: Swarm, name: string, container: string | null, before: Replicas, loopback: boolean): Replicas {
  const book = createReplicaNodes(name, container, loopback)
  book.adopt(before, 0)
  return book.read(one, 100_000)
}

function swarm(tasks: readonly (readonly [id: string, service: string, node: string])[], nodes: readonly object[]): Swarm {
  const edge = rawService('edge', 'edge_edge', { Spec: { Name: 'edge_edge', Labels: { 'skein.replica': 'edge' } } })
  const parsed = nodes.map(node => nodeSchema.parse(node))
  return {
    tasks: tasks.map(([id, service, NodeID]) => taskSchema.parse(rawTask(id, service, { NodeID }))),
    services: new Map([edge, rawService('web', 'web')].map(raw => serviceSchema.parse(raw)).map(one => [one.ID, one])),
    nodes: new Map(parsed.map(node => [node.ID, node])),
  }
}

const node = (id: string, address: string, State = 'ready') => rawNode(id, `host-${id}`, { Status: { State, Addr: address } })

test('facts of one replica are parsed by another', () => {
  const shared = buildSharedFacts(known, { service: 'edge', list: [{ name: 'e1', address: '10.77.0.4' }] })
  assert.equal(parseSharedFacts(JSON.parse(JSON.stringify(shared))), shared)
  assert.equal(parseSharedFacts(NO_SHARED_FACTS), NO_SHARED_FACTS)
})

test('facts are cut to the limits of the parser', () => {
  const many = Array.from({ length: 1_000 }, (_, i) => i)
  const shared = buildSharedFacts(
    {
      managers: many.map(i => ({ ...m1, endpoint: `agent://10.0.${i >> 8}.${i & 255}:7999` })),
      identified: [{ ...m1, endpoint: 'unix:///var/run/docker.sock' }],
      nodes: [...many.map(i => `n${i}`), 'a b'],
    },
    { service: '', list: many.map(i => ({ name: `e${i}`, address: '10.0.0.1' })) },
  )
  assert.is(shared.managers.length, 256)
  assert.is.not(parseSharedFacts(shared), null)
  assert.equal(shared.identified, [])
})

test('malformed facts are refused as a whole', () => {
  const good = buildSharedFacts(known, { service: 'edge', list: [] })
  const bad: readonly unknown[] = [
    null,
    [],
    'text',
    {},
    { ...good, managers: [{ ...m1, endpoint: 'unix:///var/run/docker.sock' }] },
    { ...good, managers: [{ ...m1, endpoint: 'http://10.0.0.1' }] },
    { ...good, managers: [{ ...m1, nodeId: 'a\nb' }] },
    { ...good, managers: Array.from({ length: 257 }, () => m1) },
    { ...good, identified: [{ ...m1, hostname: 'x'.repeat(2_000) }] },
    { ...good, nodes: [1] },
    { ...good, service: '../x' },
    { ...good, replicas: [{ name: 'e1', address: 'tasks.edge' }] },
    { ...good, replicas: [{ name: '', address: '10.0.0.1' }] },
  ]
  for (const value of bad) assert.is(parseSharedFacts(value), null, JSON.stringify(value)?.slice(0, 80))
})

test('the nodes of the running replicas, by host name, each once', () => {
  const one = swarm(
    [
      ['1', 'edge', 'n4'],
      ['2', 'edge', 'n5'],
      ['3', 'edge', 'n5'],
      ['4', 'web', 'n6'],
    ],
    [node('n4', '10.77.0.4'), node('n5', '10.77.0.5'), node('n6', '10.77.0.6')],
  )
  assert.equal(replicasOf(one, 'x', 'c2', nobody, false), {
    service: 'edge',
    list: [
      { name: 'host-n4', address: '10.77.0.4' },
      { name: 'host-n5', address: '10.77.0.5' },
    ],
  })
})

test('a manager without an address of its own is listed at its raft address', () => {
  const zero = (id: string) => ({ ...rawManager(id, `host-${id}`, '10.77.0.1'), Status: { State: 'ready', Addr: '0.0.0.0' } })
  const tasks = [
    ['1', 'edge', 'n1'],
    ['2', 'edge', 'n2'],
    ['3', 'edge', 'n3'],
  ] as const
  const one = swarm(tasks, [zero('n1'), node('n2', '0.0.0.0'), node('n3', '127.0.0.3')])
  assert.equal(replicasOf(one, 'x', 'c1', nobody, false).list, [{ name: 'host-n1', address: '10.77.0.1' }])
  assert.is(replicasOf(one, 'x', 'c1', nobody, true).list.length, 2, 'all on one machine')
})

test('a replica that is no task of this swarm lists no replicas', () => {
  const one = swarm([['1', 'edge', 'n4']], [node('n4', '10.77.0.4')])
  assert.equal(replicasOf(one, 'laptop', null, nobody, false), nobody)
  const before = { service: 'of-another-swarm', list: [{ name: 'host-n4', address: '10.77.0.4' }] }
  assert.equal(replicasOf(one, 'laptop', null, before, false), nobody)
})

test('all replicas restart: stored nodes stay until their tasks are seen', () => {
  const before = { service: '', list: ['4', '5'].map(n => ({ name: `host-n${n}`, address: `10.77.0.${n}` })) }
  const nodes = [node('n4', '10.77.0.4'), node('n5', '10.77.0.5'), node('n6', '10.77.0.6')]
  const book = createReplicaNodes('host-n4', null, false)
  book.adopt(before, 0)
  assert.equal(book.read(swarm([], nodes), 1_000).list, before.list)
  assert.equal(book.read(swarm([], nodes), 70_000).list, [])
})

test('a lost node is kept, a ready one without a replica is not', () => {
  const before = {
    service: 'edge',
    list: ['4', '5', '6'].map(n => ({ name: `host-n${n}`, address: `10.77.0.${n}` })),
  }
  const tasks = [['1', 'edge', 'n4']] as const
  const down = swarm(tasks, [node('n4', '10.77.0.4'), node('n5', '10.77.0.5', 'down'), node('n6', '10.77.0.6')])
  const names = (one: Swarm, own: string) => replicasOf(one, own, null, before, false).list.map(({ name }) => name)
  assert.equal(names(down, 'host-n4'), ['host-n4', 'host-n5'])
  assert.equal(names(down, 'host-n5'), ['host-n4', 'host-n5'], 'told so by the lost one itself, that leads')
  const moved = swarm(tasks, [node('n4', '10.77.0.4'), node('n5', '10.77.0.99', 'down')])
  assert.equal(names(moved, 'host-n4'), ['host-n4'], 'not at another address')
})

test('a node is kept for a minute after its replica was last seen', () => {
  const book = createReplicaNodes('host-n4', null, false)
  const nodes = (state: string) => [node('n4', '10.77.0.4'), node('n5', '10.77.0.5', state)]
  const both = swarm(
    [
      ['1', 'edge', 'n4'],
      ['2', 'edge', 'n5'],
    ],
    nodes('ready'),
  )
  const left = (state: string) => swarm([['1', 'edge', 'n4']], nodes(state))
  const namesAt = (one: Swarm, at: number) => book.read(one, at).list.map(({ name }) => name)
  assert.equal(namesAt(both, 0), ['host-n4', 'host-n5'])
  assert.equal(namesAt(left('ready'), 30_000), ['host-n4', 'host-n5'])
  assert.equal(namesAt(left('down'), 300_000), ['host-n4', 'host-n5'])
  assert.equal(namesAt(left('ready'), 300_001), ['host-n4'])
  assert.equal(namesAt(left('down'), 300_002), ['host-n4'])
})

test.run()
