// Which networks the replicas are on, from the swarm's own lists.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createEdgeBook } from '../../../../src/providers/swarm/edge-networks.ts'
import { networkSchema, nodeSchema, taskSchema } from '../../../../src/providers/swarm/schemas.ts'
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
  assert.equal(createEdgeBook().read({ tasks: [edge], services, nodes }, networks, 'edge', []), {
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
    assert.is(createEdgeBook().read({ tasks, services, nodes }, networks, service, []), null, what)
  }
})

test('other members are found by address, node or service; with an unknown one the result is null', () => {
  const second = task('2', 'edge2', [on('shop', '10.0.5.2/24')], 'n2')
  const tasks = [edge, second]
  const read = (...members: { name: string; addresses: string[] }[]) =>
    createEdgeBook().read({ tasks, services, nodes }, networks, 'edge', members)
  assert.equal(read({ name: 'x', addresses: ['10.0.1.2'] })?.names, ['edge'])
  assert.equal(read({ name: 'host-n1~abc', addresses: ['10.9.9.9'] })?.names, ['edge'])
  assert.equal(read({ name: 'x', addresses: ['172.18.0.3', '10.0.5.2'] }), { names: ['edge', 'shop'], outside: ['other-id'] })
  assert.is(read({ name: 'laptop', addresses: ['192.168.1.7'] }), null)
})

test('a member whose node Swarm has given up is remembered until it is gone', () => {
  const book = createEdgeBook()
  const second = task('2', 'edge2', [on('shop', '10.0.5.2/24')], 'n2')
  const member = { name: 'x', addresses: ['10.0.5.2'] }
  book.read({ tasks: [edge, second], services, nodes }, networks, 'edge', [member])
  assert.equal(book.read({ tasks: [edge], services, nodes }, networks, 'edge', [member])?.names, ['edge'])
  book.read({ tasks: [edge], services, nodes }, networks, 'edge', [])
  assert.is(book.read({ tasks: [edge], services, nodes }, networks, 'edge', [member]), null)
})

test.run()
