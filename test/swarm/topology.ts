// The lab's shape: six nodes, their addresses, and where everything of theirs lives. Pure data; no other file makes up a name or
// a path. All names begin with `skein-lab`, so that the lab never touches a namespace, a cgroup or a directory that is not its
// own.

import { join } from 'node:path'

/** Everything the lab writes is below this directory. */
export const LAB_DIR = process.env.SKEIN_LAB_DIR ?? '/var/tmp/skein-lab'
/** The namespace that holds the bridge; load and probes run in it. */
export const OUTER = 'skein-lab'
/** Parent of the nodes' control groups, in every hierarchy. */
export const CGROUP = 'skein-lab'
/** The outer namespace's own address on the bridge, with its prefix length. */
export const GATEWAY = '10.77.0.254'
export const PREFIX_LENGTH = 24
/** Further addresses of the outer namespace, for clients that are told apart by their address. */
export const CLIENT_ADDRESSES: readonly string[] = Array.from({ length: 16 }, (_, n) => `10.77.0.${101 + n}`)

export interface LabNode {
  readonly name: string
  readonly manager: boolean
  /** Labelled edge=true: the stack puts a replica of Skein on it. */
  readonly edge: boolean
  readonly address: string
  /** A fixed hardware address: a node that was restarted is found at once by neighbours that remember it. */
  readonly mac: string
  readonly namespace: string
  /** The outer end of its cable. */
  readonly link: string
  readonly dir: string
  /** The Docker socket as seen from the machine. Inside the node it is /var/run/docker.sock as well. */
  readonly socket: string
}

function labNode(name: string, index: number, manager: boolean): LabNode {
  return {
    name,
    manager,
    edge: !manager,
    address: `10.77.0.${index}`,
    mac: `02:5e:00:00:00:${index.toString(16).padStart(2, '0')}`,
    namespace: `${OUTER}-${name}`,
    link: `sk-${name}`,
    dir: join(LAB_DIR, name),
    socket: join(LAB_DIR, name, 'docker.sock'),
  }
}

export const NODES: readonly LabNode[] = [
  labNode('m1', 1, true),
  labNode('m2', 2, true),
  labNode('m3', 3, true),
  labNode('e1', 4, false),
  labNode('e2', 5, false),
  labNode('e3', 6, false),
]

export const MANAGERS: readonly LabNode[] = NODES.filter(node => node.manager)
export const EDGES: readonly LabNode[] = NODES.filter(node => node.edge)

/** @throws when the lab has no such node */
export function nodeNamed(name: string): LabNode {
  const node = NODES.find(candidate => candidate.name === name)
  if (node === undefined) throw new Error(`the lab has no node "${name}"; it has ${NODES.map(n => n.name).join(', ')}`)
  return node
}
