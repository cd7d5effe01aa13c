// The state of the swarm after a series of reads: which tasks are active, which drain, and until when.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { nodeSchema, serviceSchema, taskSchema } from '../../../../src/providers/docker-api/schemas.ts'
import { createInventory, type Inventory } from '../../../../src/providers/swarm/inventory.ts'
import { rawNode, rawService, rawTask } from './objects.ts'

const task = (id: string, more: object = {}) => taskSchema.parse(rawTask(id, 's1', more))
const all = (...items: ReturnType<typeof task>[]) => ({ tasks: { scope: null, items, skipped: [] } })
const states = (inventory: Inventory) => inventory.discovered('swarm')[0]?.instances.map(({ id, state }) => `${id} ${state}`)

function start(): Inventory {
  const inventory = createInventory()
  inventory.apply(
    {
      nodes: [nodeSchema.parse(rawNode('n1', 'one'))],
      services: { items: [serviceSchema.parse(rawService('s1', 'shop_web'))], skipped: [] },
      networks: [],
      ...all(task('t1'), task('t2')),
    },
    0,
  )
  return inventory
}

test('running tasks with an address are active; the address has no prefix', () => {
  const [service] = start().discovered('swarm')
  assert.equal(service?.instances[0], {
    id: 't1',
    node: 'one',
    state: 'active',
    addresses: [{ networkId: 'net1', network: 'web', address: '10.0.1.1' }],
  })
  assert.equal(service?.ports, [80])
  assert.is(service?.name, 'shop_web')
})

test('a starting task is not listed; one without an address is', () => {
  const inventory = start()
  inventory.apply(all(task('t3', { Status: { State: 'starting' } }), task('t4', { NetworksAttachments: null })), 1)
  assert.equal(states(inventory), ['t1 draining', 't2 draining', 't4 active'])
  assert.equal(inventory.discovered('swarm')[0]?.instances[2]?.addresses, [])
  assert.equal(inventory.busyServices(1), ['s1'])
})

test('a task whose desired state has left running drains until it has ended', () => {
  const inventory = start()
  inventory.apply(all(task('t2')), 1000)
  assert.equal(states(inventory), ['t1 draining', 't2 active'])
  assert.equal(inventory.draining(1000, false), ['t1'])
  const asked = { asked: ['t1'], items: [task('t1', { DesiredState: 'shutdown' })] }
  inventory.apply({ drained: asked }, 2000)
  assert.equal(states(inventory), ['t1 draining', 't2 active'])
  inventory.apply(
    { drained: { asked: ['t1'], items: [task('t1', { DesiredState: 'shutdown', Status: { State: 'shutdown' } })] } },
    4000,
  )
  assert.equal(states(inventory), ['t2 active'])
})

test('... or until it has been removed (service rm)', () => {
  const inventory = start()
  inventory.apply(all(task('t2')), 1000)
  inventory.apply({ drained: { asked: ['t1'], items: [] } }, 2000)
  assert.equal(states(inventory), ['t2 active'])
})

test('a read of some services says nothing about the tasks of others', () => {
  const inventory = start()
  inventory.apply({ tasks: { scope: ['s2'], items: [], skipped: [] } }, 1)
  assert.equal(states(inventory), ['t1 active', 't2 active'])
  inventory.apply({ tasks: { scope: ['s1'], items: [task('t1')], skipped: [] } }, 2)
  assert.equal(states(inventory), ['t1 active', 't2 draining'])
})

test('a malformed task or service keeps its state', () => {
  const inventory = start()
  inventory.apply({ tasks: { scope: null, items: [task('t1')], skipped: ['t2'] }, services: { items: [], skipped: ['s1'] } }, 1)
  assert.equal(states(inventory), ['t1 active', 't2 active'])
})

test('a draining task is polled fast for a minute, then slowly', () => {
  const inventory = start()
  inventory.apply(all(task('t2')), 1000)
  assert.equal(inventory.busyServices(60_999), ['s1'])
  assert.equal(inventory.busyServices(61_001), [])
  assert.equal(inventory.draining(61_001, false), [])
  assert.equal(inventory.draining(61_001, true), ['t1'])
})

test('tasks on a node reported as down stay in rotation while nothing else runs', () => {
  const inventory = start()
  const down = nodeSchema.parse(rawNode('n1', 'one', { Status: { State: 'down', Addr: '' } }))
  inventory.apply({ nodes: [down], ...all() }, 1000)
  assert.equal(states(inventory), ['t1 active', 't2 active'])
  inventory.apply({ nodes: [down, nodeSchema.parse(rawNode('n2', 'two'))], ...all(task('t3', { NodeID: 'n2' })) }, 2000)
  assert.equal(states(inventory), ['t1 draining', 't2 draining', 't3 active'])
})

test('the ingress network is left out', () => {
  const inventory = start()
  const ingress = { Network: { ID: 'net0', Spec: { Name: 'ingress', Ingress: true } }, Addresses: ['10.0.0.5/24'] }
  inventory.apply(
    all(
      task('t5', {
        NetworksAttachments: [ingress, { Network: { ID: 'net1', Spec: { Name: 'web' } }, Addresses: ['10.0.1.5/24'] }],
      }),
    ),
    1,
  )
  const found = inventory.discovered('swarm')[0]?.instances.find(({ id }) => id === 't5')
  assert.equal(
    found?.addresses.map(({ address }) => address),
    ['10.0.1.5'],
  )
})

test('virtual IPs and an update in progress', () => {
  const inventory = start()
  const service = serviceSchema.parse(
    rawService('s1', 'web', {
      UpdateStatus: { State: 'updating' },
      Endpoint: { VirtualIPs: [{ NetworkID: 'net1', Addr: '10.0.1.200/24' }] },
    }),
  )
  inventory.apply(
    {
      services: { items: [service], skipped: [] },
      networks: [{ Id: 'net1', Name: 'web', Scope: 'swarm', Driver: 'overlay', Ingress: false }],
    },
    1,
  )
  const [found] = inventory.discovered('swarm')
  assert.equal(found?.virtualIps, [{ networkId: 'net1', network: 'web', address: '10.0.1.200' }])
  assert.is(found?.updating, true)
  assert.equal(inventory.busyServices(1), ['s1'])
})

test('a task of an unknown service or node: the state is incomplete', () => {
  const inventory = start()
  assert.not.ok(inventory.incomplete())
  inventory.apply(all(task('t1'), task('t2'), taskSchema.parse(rawTask('t9', 'new'))), 1)
  assert.ok(inventory.incomplete())
})

test.run()
