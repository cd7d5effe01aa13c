// The networks of the replicas, from the lists of the swarm and their interfaces.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { networkSchema, nodeSchema, taskSchema } from '../../../../src/providers/docker-api/schemas.ts'
import { createEdgeNetworkTracker } from '../../../../src/providers/swarm/edge-networks.ts'
import { rawNode, rawTask } from './objects.ts'

const nodes = new Map(['n1', 'n2'].map(id => [id, nodeSchema.parse(rawNode(id, `host-${id}`))]))
const services = new Map()
const network = (name: string, more: object = {}) =>
  networkSchema.parse({ Id: `${name}-id`, Name: name, Scope: 'swarm', Driver: 'overlay', ...more })
const networks = new Map(
  [
    network('edge'),
    network('shop'),
    network('ingress', { Ingress: true }),
    network('lan', { Driver: 'macvlan' }),
    network('bridge', { Scope: 'local', Driver: 'bridge' }),
    network('other'),
  ].map(one => [one.Id, one]),
)
const on = (name: string, address = '10.0.1.2/24') => ({
  Network: { ID: `${name}-id`, Spec: { Name: name } },
  Addresses: [address],
})
const task = (id: string, service: string, attachments: readonly object[], node = 'n1') =>
  taskSchema.parse(rawTask(id, service, { NodeID: node, NetworksAttachments: attachments }))
const edge = task('1', 'edge', [on('edge'), on('ingress', '10.255.0.3/16')])

test('the networks that the replicas are on, and the overlay networks that they are not on', () => {
  assert.equal(createEdgeNetworkTracker().read({ tasks: [edge], services, nodes }, networks, 'edge', [], []), {
    names: ['edge'],
    outside: ['other-id', 'shop-id'],
  })
})

test('the result is null where a replica may reach more than the swarm shows', () => {
  const cases: [string, string, readonly object[]][] = [
    ['no task of this swarm', '', [on('edge')]],
    ['its tasks are not known', 'edge2', [on('edge')]],
    ['on the network of its host', 'edge', [{ Network: { ID: 'host-id', Spec: { Name: 'host' } }, Addresses: [] }]],
    ['on a network of the machines', 'edge', [on('edge'), on('lan')]],
    ['on no network', 'edge', []],
    ['on a network that is not listed', 'edge', [on('new')]],
    ['without an address', 'edge', [{ ...on('edge'), Addresses: [] }]],
  ]
  for (const [what, service, attachments] of cases) {
    const tasks = [task('1', 'edge', attachments)]
    assert.is(createEdgeNetworkTracker().read({ tasks, services, nodes }, networks, service, [], []), null, what)
  }
})

test('other members are found by address, node or service; with an unknown one the result is null', () => {
  const second = task('2', 'edge2', [on('shop', '10.0.5.2/24')], 'n2')
  const tasks = [edge, second]
  const read = (...members: { name: string; addresses: string[] }[]) => {
    const known = members.map(member => ({ ...member, networks: [] }))
    return createEdgeNetworkTracker().read({ tasks, services, nodes }, networks, 'edge', known, [])
  }
  assert.equal(read({ name: 'x', addresses: ['10.0.1.2'] })?.names, ['edge'])
  assert.equal(read({ name: 'host-n1~abc', addresses: ['10.9.9.9'] })?.names, ['edge'])
  assert.equal(read({ name: 'x', addresses: ['172.18.0.3', '10.0.5.2'] }), { names: ['edge', 'shop'], outside: ['other-id'] })
  assert.is(read({ name: 'laptop', addresses: ['192.168.1.7'] }), null)
})

test('a member on a node that Swarm counts as lost is remembered until it leaves', () => {
  const book = createEdgeNetworkTracker()
  const second = task('2', 'edge2', [on('shop', '10.0.5.2/24')], 'n2')
  const member = { name: 'x', addresses: ['10.0.5.2'], networks: [] }
  book.read({ tasks: [edge, second], services, nodes }, networks, 'edge', [member], [])
  assert.equal(book.read({ tasks: [edge], services, nodes }, networks, 'edge', [member], [])?.names, ['edge'])
  book.read({ tasks: [edge], services, nodes }, networks, 'edge', [], [])
  assert.is(book.read({ tasks: [edge], services, nodes }, networks, 'edge', [member], []), null)
})

test('a replica attached or started by hand: the networks of its interfaces are used', () => {
  const shop = task('2', 'shop', [on('shop', '10.0.5.2/24')], 'n2')
  const other = task('3', 'other', [on('other', '10.0.6.2/24'), on('ingress', '10.255.0.4/16')], 'n2')
  const swarm = { tasks: [edge, shop, other], services, nodes }
  const read = (own: readonly string[], ...members: readonly { name: string; networks: readonly string[] | null }[]) =>
    createEdgeNetworkTracker().read(
      swarm,
      networks,
      'edge',
      members.map(member => ({ ...member, addresses: ['172.18.0.3'] })),
      own,
    )
  const gateway = '172.18.0.3/16'
  const cases: [what: string, own: readonly string[], members: Parameters<typeof read>[1][], outside: readonly string[]][] = [
    ['only what the swarm shows', ['10.0.1.2/24', gateway], [], ['other-id', 'shop-id']],
    ['this one is attached', ['10.0.1.2/24', '10.0.5.9/24', gateway], [], ['other-id']],
    ['another one is attached', [gateway], [{ name: 'host-n1', networks: ['10.0.5.9/24', gateway] }], ['other-id']],
    ['each to one', ['10.0.6.9/24'], [{ name: 'host-n1~x', networks: ['10.0.5.9/24'] }], []],
    ['the ingress network is none of them', ['10.255.0.9/16'], [], ['other-id', 'shop-id']],
    ['invalid addresses are ignored', ['10.0.5.9', '10.0.5.9/99', 'x/24', ''], [], ['other-id', 'shop-id']],
  ]
  for (const [what, own, members, outside] of cases) assert.equal(read(own, ...members)?.outside, outside, what)
  assert.equal(read(['10.0.5.9/24'])?.names, ['edge', 'shop'])
  assert.is(read([], { name: 'host-n1', networks: null }), null, 'a member that does not announce its networks')
})

test.run()
