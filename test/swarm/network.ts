// The lab's network: one outer namespace with a bridge, one namespace per node, and a veth pair between the two. The machine's own
// interfaces, routes and packet filters are never changed.

import { existsSync } from 'node:fs'
import { run } from './command.ts'
import { CLIENT_ADDRESSES, GATEWAY, type LabNode, NODES, OUTER, PREFIX_LENGTH } from './topology.ts'

const BRIDGE = 'br0'

/** The path of a namespace, for nsenter. */
export function namespacePath(name: string): string {
  return `/run/netns/${name}`
}

/** Runs several `ip` commands in one process. */
async function ip(namespace: string | null, lines: readonly string[]): Promise<void> {
  const scope = namespace === null ? [] : ['-n', namespace]
  await run('ip', [...scope, '-batch', '-'], { input: `${lines.join('\n')}\n` })
}

export async function createOuter(): Promise<void> {
  await ip(null, [`netns add ${OUTER}`])
  await ip(OUTER, [
    'link set lo up',
    `link add ${BRIDGE} type bridge`,
    ...[GATEWAY, ...CLIENT_ADDRESSES].map(address => `addr add ${address}/${PREFIX_LENGTH} dev ${BRIDGE}`),
    `link set ${BRIDGE} up`,
  ])
}

/** Creates a node's namespace and connects it to the bridge. */
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

/** Removes a node's namespace with its veth pair. The node's processes must have ended. */
export async function removeNodeNetwork(node: LabNode): Promise<void> {
  await removeNamespace(node.namespace)
  // The veth pair exists until the kernel has removed the namespace; a new one of the same name would be refused.
  await ip(OUTER, [`link del ${node.link}`]).catch(() => {})
}

export async function removeAllNetworks(): Promise<void> {
  for (const node of NODES) await removeNamespace(node.namespace)
  await removeNamespace(OUTER)
}

export function outerExists(): boolean {
  return existsSync(namespacePath(OUTER))
}

/** A table of packet filters that Docker does not use, which is evaluated before all others. */
const CUT_CHAIN = 'SKEIN-LAB'

/**
 * Cuts a node off from every other node, both ways and silently: Skein's ports, the overlay networks (and with them every backend
 * elsewhere), and Swarm's own traffic. The outer namespace, where clients are, still reaches it. This applies to the node's processes
 * and to its containers, whose packets pass raw PREROUTING.
 */
export async function cutOff(node: LabNode): Promise<void> {
  const others = NODES.filter(other => other !== node)
  const rules = others.flatMap(({ address }) => [
    `-A ${CUT_CHAIN} -s ${address} -j DROP`,
    `-A ${CUT_CHAIN} -d ${address} -j DROP`,
  ])
  await cut(node, rules)
}

async function cut(node: LabNode, rules: readonly string[]): Promise<void> {
  await cutIn(namespacePath(node.namespace), rules)
}

/** Applies packet filter rules in the network namespace at `path`. */
async function cutIn(path: string, rules: readonly string[]): Promise<void> {
  // Chains that are named here are flushed first, so that this is idempotent.
  const hooks = existsCut(await rawRules(path)) ? [] : ['PREROUTING', 'OUTPUT'].map(hook => `-I ${hook} -j ${CUT_CHAIN}`)
  await restoreRaw(path, [`:${CUT_CHAIN} - [0:0]`, ...rules, ...hooks])
}

/**
 * A firewall in a container's network namespace, so for the overlay networks and for the node's published ports: no other host reaches
 * these TCP ports of the container; with `both`, the container does not reach them elsewhere either. Without ports the firewall is
 * open.
 */
export async function blockPorts(pid: number, ports: readonly number[], both: boolean): Promise<void> {
  // Loopback stays open.
  const rules = ports.flatMap(port => [
    `-A ${CUT_CHAIN} ! -i lo -p tcp --dport ${port} -m addrtype --dst-type LOCAL -j DROP`,
    ...(both ? [`-A ${CUT_CHAIN} ! -o lo -p tcp --dport ${port} -m addrtype ! --dst-type LOCAL -j DROP`] : []),
  ])
  await cutIn(`/proc/${pid}/ns/net`, rules)
}

/** The UDP port of Docker's overlay networks (VXLAN). */
const OVERLAY_PORT = 4789

/**
 * Breaks only the overlay networks between two nodes, both ways and silently: the nodes themselves still reach each other, and each
 * reaches the tasks on all other nodes.
 */
export async function cutOverlay(node: LabNode, other: LabNode): Promise<void> {
  const rules = [`-s ${other.address}`, `-d ${other.address}`].map(
    end => `-A ${CUT_CHAIN} ${end} -p udp --dport ${OVERLAY_PORT} -j DROP`,
  )
  await cut(node, rules)
}

/** Reverts cutOff and cutOverlay; does nothing if nothing is cut. */
export async function reconnect(node: LabNode): Promise<void> {
  const path = namespacePath(node.namespace)
  if (existsCut(await rawRules(path))) await restoreRaw(path, [`:${CUT_CHAIN} - [0:0]`])
}

function existsCut(rules: string): boolean {
  return rules.includes(`-N ${CUT_CHAIN}`)
}

function rawRules(path: string): Promise<string> {
  return run('nsenter', [`--net=${path}`, 'iptables', '-w', '-t', 'raw', '-S'])
}

/** Applies all rules atomically, so that no packet passes a partial cut. */
async function restoreRaw(path: string, lines: readonly string[]): Promise<void> {
  const input = ['*raw', ...lines, 'COMMIT', ''].join('\n')
  await run('nsenter', [`--net=${path}`, 'iptables-restore', '-w', '--noflush'], { input })
}

/** Sets a node's link down: packets in both directions are lost silently. */
export async function linkDown(node: LabNode): Promise<void> {
  await ip(OUTER, [`link set ${node.link} down`])
}

export async function linkUp(node: LabNode): Promise<void> {
  await ip(OUTER, [`link set ${node.link} up`])
}
