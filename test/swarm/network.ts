// The lab's network: one outer namespace with a bridge, one namespace per node, a cable between. The machine's own interfaces,
// routes and packet filters are never touched.

import { existsSync } from 'node:fs'
import { run } from './command.ts'
import { GATEWAY, type LabNode, NODES, OUTER, PREFIX_LENGTH } from './topology.ts'

const BRIDGE = 'br0'

/** Path of a namespace, for nsenter. */
export function namespacePath(name: string): string {
  return `/run/netns/${name}`
}

/** Several `ip` commands in one process. */
async function ip(namespace: string | null, lines: readonly string[]): Promise<void> {
  const scope = namespace === null ? [] : ['-n', namespace]
  await run('ip', [...scope, '-batch', '-'], { input: `${lines.join('\n')}\n` })
}

export async function createOuter(): Promise<void> {
  await ip(null, [`netns add ${OUTER}`])
  await ip(OUTER, [
    'link set lo up',
    `link add ${BRIDGE} type bridge`,
    `addr add ${GATEWAY}/${PREFIX_LENGTH} dev ${BRIDGE}`,
    `link set ${BRIDGE} up`,
  ])
}

/** A node's namespace, cabled to the bridge. */
export async function createNodeNetwork(node: LabNode): Promise<void> {
  await ip(null, [
    `netns add ${node.namespace}`,
    `link add ${node.link} netns ${OUTER} type veth peer name eth0 address ${node.mac} netns ${node.namespace}`,
  ])
  await ip(OUTER, [`link set ${node.link} master ${BRIDGE} up`])
  await ip(node.namespace, [
    'link set lo up',
    `addr add ${node.address}/${PREFIX_LENGTH} dev eth0`,
    'link set eth0 up',
    `route add default via ${GATEWAY}`,
  ])
}

async function removeNamespace(name: string): Promise<void> {
  if (existsSync(namespacePath(name))) await ip(null, [`netns del ${name}`])
}

/** Its cable goes with it. Its processes must have ended. */
export async function removeNodeNetwork(node: LabNode): Promise<void> {
  await removeNamespace(node.namespace)
  // The cable lives until the kernel has torn the namespace down; a new one of the same name would be refused.
  await ip(OUTER, [`link del ${node.link}`]).catch(() => {})
}

export async function removeAllNetworks(): Promise<void> {
  for (const node of NODES) await removeNamespace(node.namespace)
  await removeNamespace(OUTER)
}

export function outerExists(): boolean {
  return existsSync(namespacePath(OUTER))
}

/** Pulls the cable: what the node sends or is sent is lost without a word. */
export async function linkDown(node: LabNode): Promise<void> {
  await ip(OUTER, [`link set ${node.link} down`])
}

export async function linkUp(node: LabNode): Promise<void> {
  await ip(OUTER, [`link set ${node.link} up`])
}
