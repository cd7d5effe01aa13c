// Where an emulated task runs: the constraints that swarm knows (`node.role==manager`, `node.hostname!=n1`, `node.id==...`,
// `node.labels.KEY==VALUE`), then the emptiest node.

import type { NodeObject, TaskObject } from './docker-objects.ts'
import { hasEnded } from './docker-objects.ts'
import type { Tables } from './store.ts'

/** True when the node meets every constraint; one that cannot be read is met by no node. */
export function satisfies(node: NodeObject, constraints: readonly string[]): boolean {
  return constraints.every(constraint => {
    const parts = /^\s*([\w.-]+)\s*(==|!=)\s*(\S+)\s*$/.exec(constraint)
    if (parts === null) return false
    const [, key = '', operator, value] = parts
    return (attribute(node, key) === value) === (operator === '==')
  })
}

function attribute(node: NodeObject, key: string): string {
  if (key === 'node.id') return node.ID
  if (key === 'node.hostname') return node.Description.Hostname
  if (key === 'node.role') return node.Spec.Role
  if (key.startsWith('node.labels.')) return node.Spec.Labels[key.slice('node.labels.'.length)] ?? ''
  return ''
}

/**
 * The node with the fewest tasks of the task's service, then the fewest at all; a global task's own node; null when none will
 * do.
 */
export function chooseNode(tables: Tables, task: TaskObject): NodeObject | null {
  const usable = [...tables.nodes.values()].filter(
    node =>
      node.Spec.Availability === 'active' &&
      node.Status.State === 'ready' &&
      satisfies(node, task.Spec.Placement?.Constraints ?? []),
  )
  if (task.NodeID !== undefined) return usable.find(node => node.ID === task.NodeID) ?? null
  const live = [...tables.tasks.values()].filter(other => !hasEnded(other.DesiredState))
  const ranked = usable.map(node => {
    const there = live.filter(other => other.NodeID === node.ID)
    return { node, own: there.filter(other => other.ServiceID === task.ServiceID).length, all: there.length }
  })
  ranked.sort((a, b) => a.own - b.own || a.all - b.all || (a.node.ID < b.node.ID ? -1 : 1))
  return ranked[0]?.node ?? null
}
