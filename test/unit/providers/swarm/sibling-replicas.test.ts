// How a replica finds the other replicas in the tasks of the swarm.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { nodeSchema, serviceSchema, taskSchema } from '../../../../src/providers/docker-api/schemas.ts'
import { findSiblings, ownContainerId } from '../../../../src/providers/swarm/sibling-replicas.ts'
import { rawNode, rawService, rawTask } from './objects.ts'

const nodes = new Map(['n4', 'n5', 'n6'].map(id => [id, nodeSchema.parse(rawNode(id, `host-${id}`))]))
const services = new Map([
  [
    'edge',
    serviceSchema.parse(rawService('edge', 'edge_edge', { Spec: { Name: 'edge_edge', Labels: { 'skein.replica': 'edge' } } })),
  ],
  ['web', serviceSchema.parse(rawService('web', 'web'))],
])
const task = (id: string, service: string, node: string) => taskSchema.parse(rawTask(id, service, { NodeID: node }))
const tasks = [task('1', 'edge', 'n4'), task('2', 'edge', 'n5'), task('3', 'edge', 'n6'), task('4', 'web', 'n4')]

test('by the container id', () => {
  assert.equal(findSiblings({ tasks, services, nodes }, 'whatever', 'c2'), {
    members: ['host-n4', 'host-n5', 'host-n6'],
    self: 'host-n5',
  })
})

test('by the label of the service and the node name', () => {
  assert.equal(findSiblings({ tasks, services, nodes }, 'host-n6', null), {
    members: ['host-n4', 'host-n5', 'host-n6'],
    self: 'host-n6',
  })
})

test('several replicas on one node have different names', () => {
  const crowd = [...tasks, task('5', 'edge', 'n4')]
  assert.equal(findSiblings({ tasks: crowd, services, nodes }, '', 'c5'), {
    members: ['host-n4/1', 'host-n4/5', 'host-n5', 'host-n6'],
    self: 'host-n4/5',
  })
})

test('a replica outside the swarm has no siblings', () => {
  assert.is(findSiblings({ tasks, services, nodes }, 'laptop', null), null)
})

test("the container id is read from Docker's mounts", () => {
  const directory = mkdtempSync(join(tmpdir(), 'skein-'))
  const id = 'ab'.repeat(32)
  writeFileSync(join(directory, 'in'), `700 690 8:1 /var/lib/docker/containers/${id}/hosts /etc/hosts rw - ext4 /dev/sda rw\n`)
  writeFileSync(join(directory, 'out'), '23 28 0:21 / /sys rw - sysfs sysfs rw\n')
  assert.is(ownContainerId(join(directory, 'in')), id)
  assert.is(ownContainerId(join(directory, 'out')), null)
  assert.is(ownContainerId(join(directory, 'absent')), null)
  rmSync(directory, { recursive: true })
})

test.run()
