// Which endpoints exist, which are the same manager, and the order of preference.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseEndpoint } from '../../../../src/providers/docker-api/endpoint.ts'
import { nodeSchema } from '../../../../src/providers/docker-api/schemas.ts'
import { buildRoster, learnManagers, orderEndpoints } from '../../../../src/providers/swarm/roster.ts'
import { rawManager, rawNode } from './objects.ts'

const endpoint = (text: string) => {
  const parsed = parseEndpoint(text)
  if (!parsed.ok) throw new Error(parsed.message)
  return parsed.endpoint
}
const nodes = [
  rawManager('idA', 'n1', '10.77.0.1'),
  rawManager('idB', 'n2', '10.77.0.2'),
  rawManager('idC', 'n3', '10.77.0.3'),
  rawNode('idW', 'n4'),
].map(raw => nodeSchema.parse(raw))

test('managers are learned in the form of the seeds, at the nodes own addresses', () => {
  const learned = learnManagers(nodes, [endpoint('agent://tasks.managers:7999')])
  assert.equal(
    learned.map(manager => `${manager.hostname} ${manager.endpoint}`),
    ['n1 agent://10.77.0.1:7999', 'n2 agent://10.77.0.2:7999', 'n3 agent://10.77.0.3:7999'],
  )
  assert.is(learnManagers(nodes, [endpoint('tcp://10.77.0.1:2376')])[1]?.endpoint, 'tcp://10.77.0.2:2376')
  assert.equal(learnManagers(nodes, [endpoint('unix:///docker.sock')]), [])
})

test('unreachable addresses, and those of two managers, are not learned', () => {
  const seeds = [endpoint('tcp://10.77.0.1:2375')]
  const odd = [rawManager('a', 'a', '0.0.0.0'), rawManager('b', 'b', '127.0.0.1')].map(raw => nodeSchema.parse(raw))
  const learned = learnManagers(
    odd.map(node => ({ ...node, Status: { ...node.Status, Addr: '' } })),
    seeds,
  )
  assert.equal(learned, [])
  const twice = [rawManager('a', 'a', '10.0.0.1'), rawManager('b', 'b', '10.0.0.1')].map(raw => nodeSchema.parse(raw))
  assert.equal(learnManagers(twice, seeds), [])
  const fallback = nodeSchema.parse(rawManager('a', 'a', '0.0.0.0'))
  assert.is(learnManagers([fallback], seeds)[0]?.endpoint, 'tcp://10.77.0.9:2375')
})

test('two addresses of one manager are one manager; the nodes own address comes first', () => {
  const dns = ['10.0.1.3', '10.0.1.4'].map(
    host => ({ endpoint: endpoint(`agent://${host}:7999`), origin: 'dns', serverName: 'x' }) as const,
  )
  const learned = learnManagers(nodes, [endpoint('agent://x:7999')]).map(manager => ({
    ...manager,
    parsed: endpoint(manager.endpoint),
  }))
  const roster = buildRoster(dns, learned)
  const nodeOf = new Map([
    ...learned.map(manager => [manager.endpoint, manager.nodeId] as const),
    ['agent://10.0.1.3:7999', 'idA'],
    ['agent://10.0.1.4:7999', 'idB'],
  ])
  const order = orderEndpoints({
    roster,
    nodeOf,
    managers: ['idA', 'idB', 'idC'],
    members: ['r1', 'r2', 'r3'],
    self: 'r2',
    unreachable: new Set(),
  })
  assert.is(order.length, 5)
  assert.ok(
    order.slice(0, 3).every(key => key.startsWith('agent://10.77.')),
    order.join(' '),
  )
  assert.is(roster.get('agent://10.0.1.3:7999')?.origin, 'dns')
  assert.is(roster.get('agent://10.77.0.1:7999')?.origin, 'learned')
})

test('own address unreachable for long: another address of the manager takes its place', () => {
  const seeds = [{ endpoint: endpoint('agent://10.0.1.3:7999'), origin: 'dns', serverName: 'x' } as const]
  const learned = learnManagers(nodes, [endpoint('agent://x:7999')]).map(manager => ({
    ...manager,
    parsed: endpoint(manager.endpoint),
  }))
  const nodeOf = new Map([
    ...learned.map(manager => [manager.endpoint, manager.nodeId] as const),
    ['agent://10.0.1.3:7999', 'idA'],
  ])
  const input = { roster: buildRoster(seeds, learned), nodeOf, managers: ['idA', 'idB', 'idC'], members: ['r'], self: 'r' }
  const before = orderEndpoints({ ...input, unreachable: new Set() })
  const after = orderEndpoints({ ...input, unreachable: new Set(['agent://10.77.0.1:7999']) })
  assert.is(after.indexOf('agent://10.0.1.3:7999'), before.indexOf('agent://10.77.0.1:7999'))
  assert.is(after.at(-1), 'agent://10.77.0.1:7999')
})

test('three replicas that know each other read from three managers', () => {
  const learned = learnManagers(nodes, [endpoint('agent://x:7999')]).map(manager => ({
    ...manager,
    parsed: endpoint(manager.endpoint),
  }))
  const roster = buildRoster([], learned)
  const nodeOf = new Map(learned.map(manager => [manager.endpoint, manager.nodeId]))
  const members = ['n4', 'n5', 'n6']
  const first = members.map(
    self => orderEndpoints({ roster, nodeOf, managers: ['idA', 'idB', 'idC'], members, self, unreachable: new Set() })[0],
  )
  assert.is(new Set(first).size, 3)
})

test('a seed whose node is no longer a manager is last, after unidentified ones', () => {
  const seeds = ['tcp://10.0.0.1:1', 'tcp://10.0.0.2:1', 'tcp://10.0.0.3:1'].map(
    text => ({ endpoint: endpoint(text), origin: 'option', serverName: null }) as const,
  )
  const nodeOf = new Map([
    ['tcp://10.0.0.1:1', 'demoted'],
    ['tcp://10.0.0.3:1', 'idA'],
  ])
  const order = orderEndpoints({
    roster: buildRoster(seeds, []),
    nodeOf,
    managers: ['idA', 'idB'],
    members: ['r'],
    self: 'r',
    unreachable: new Set(),
  })
  assert.equal(order, ['tcp://10.0.0.3:1', 'tcp://10.0.0.2:1', 'tcp://10.0.0.1:1'])
})

test.run()
