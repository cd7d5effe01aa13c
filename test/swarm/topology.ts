// The lab's topology: six nodes, their addresses and paths. All names and paths of the lab are defined here and begin with
// `skein-lab`, so that the lab never changes a namespace, a control group or a directory that is not its own.

import { join } from 'node:path'

/** All files of the lab are below this directory. */
export const LAB_DIR = process.env.SKEIN_LAB_DIR ?? '/var/tmp/skein-lab'
/** The namespace with the bridge, in which load and probes run. */
export const OUTER = 'skein-lab'
/** The parent of the nodes' control groups, in every hierarchy. */
export const CGROUP = 'skein-lab'
/** The address of the outer namespace on the bridge, with its prefix length. */
export const GATEWAY = '10.77.0.254'
export const PREFIX_LENGTH = 24
/** Further addresses of the outer namespace, for clients that are recognized by their address. */
export const CLIENT_ADDRESSES: readonly string[] = Array.from({ length: 16 }, (_, n) => `10.77.0.${101 + n}`)

export interface LabNode {
  readonly name: string
  readonly manager: boolean
  /** Labelled edge=true: the stack runs a replica on it. */
  readonly edge: boolean
  readonly address: string
  /** A fixed hardware address, so that cached ARP entries of other nodes stay valid after a restart. */
  readonly mac: string
  readonly namespace: string
  /** The outer end of the node's veth pair. */
  readonly link: string
  readonly dir: string
  /** The Docker socket as seen from the machine. Inside the node it is also /var/run/docker.sock. */
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

/** The node of this name. @throws if there is none */
export function nodeNamed(name: string): LabNode {
  const node = NODES.find(candidate => candidate.name === name)
  if (node === undefined) throw new Error(`the lab has no node "${name}"; it has ${NODES.map(n => n.name).join(', ')}`)
  return node
}
