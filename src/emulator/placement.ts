// Chooses the node of an emulated task: the node meets the constraints (`node.role==manager`, `node.hostname!=n1`, `node.id==...`,
// `node.labels.KEY==VALUE`) and has the fewest tasks.

import type { NodeObject, TaskObject } from './docker-objects.ts'
import { hasEnded } from './docker-objects.ts'
import type { Tables } from './store.ts'

/** Whether the node meets every constraint. No node meets an invalid constraint. */
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
 * The node with the fewest tasks of the task's service, then the fewest tasks in total; for a global task its own node; null if no
 * node is suitable.
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
