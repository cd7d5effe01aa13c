// Placement constraints of an emulated service, as swarm's: `node.role==manager`, `node.hostname!=n1`, `node.id==...`, `node.labels.KEY==VALUE`.

import type { NodeObject } from './docker-objects.ts'

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
