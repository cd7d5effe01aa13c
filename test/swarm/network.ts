// The lab's network: one outer namespace with a bridge, one namespace per node, a cable between. The machine's own interfaces,
// routes and packet filters are never touched.

import { existsSync } from 'node:fs'
import { run } from './command.ts'
import { CLIENT_ADDRESSES, GATEWAY, type LabNode, NODES, OUTER, PREFIX_LENGTH } from './topology.ts'

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
    ...[GATEWAY, ...CLIENT_ADDRESSES].map(address => `addr add ${address}/${PREFIX_LENGTH} dev ${BRIDGE}`),
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

/** A table of packet filters that Docker does not use, before all else that happens to a packet. */
const CUT_CHAIN = 'SKEIN-LAB'

/**
 * Cuts a node from every other node, both ways and without a word: Skein's ports, the overlay networks (and with them every
 * backend elsewhere), and Swarm's own talk. The outer namespace, where clients are, still reaches it. Its own containers
 * (raw PREROUTING sees what they send) and its own processes are cut alike.
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

/** `path`: of a network namespace. */
async function cutIn(path: string, rules: readonly string[]): Promise<void> {
  // a chain that is named here is emptied first, so that this can be done twice
  const hooks = existsCut(await rawRules(path)) ? [] : ['PREROUTING', 'OUTPUT'].map(hook => `-I ${hook} -j ${CUT_CHAIN}`)
  await restoreRaw(path, [`:${CUT_CHAIN} - [0:0]`, ...rules, ...hooks])
}

/**
 * A firewall in front of a container, in its own network namespace, so for the overlay networks as for the node's published ports:
 * nothing from elsewhere reaches these TCP ports of it; with `both`, it cannot reach them elsewhere either. Without ports the
 * firewall is open.
 */
export async function blockPorts(pid: number, ports: readonly number[], both: boolean): Promise<void> {
  // what it has itself (loopback) stays
  const rules = ports.flatMap(port => [
    `-A ${CUT_CHAIN} ! -i lo -p tcp --dport ${port} -m addrtype --dst-type LOCAL -j DROP`,
    ...(both ? [`-A ${CUT_CHAIN} ! -o lo -p tcp --dport ${port} -m addrtype ! --dst-type LOCAL -j DROP`] : []),
  ])
  await cutIn(`/proc/${pid}/ns/net`, rules)
}

/** Where Docker's overlay networks send their packets: VXLAN, UDP. */
const OVERLAY_PORT = 4789

/**
 * Breaks the overlay networks between two nodes, both ways and without a word, and nothing else: the nodes themselves go on
 * reaching each other, and each reaches the tasks on all other nodes.
 */
export async function cutOverlay(node: LabNode, other: LabNode): Promise<void> {
  const rules = [`-s ${other.address}`, `-d ${other.address}`].map(
    end => `-A ${CUT_CHAIN} ${end} -p udp --dport ${OVERLAY_PORT} -j DROP`,
  )
  await cut(node, rules)
}

/** Ends what cutOff and cutOverlay did; nothing happens where nothing was cut. */
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

/** All at once, so that no packet meets half a cut. */
async function restoreRaw(path: string, lines: readonly string[]): Promise<void> {
  const input = ['*raw', ...lines, 'COMMIT', ''].join('\n')
  await run('nsenter', [`--net=${path}`, 'iptables-restore', '-w', '--noflush'], { input })
}

/** Pulls the cable: what the node sends or is sent is lost without a word. */
export async function linkDown(node: LabNode): Promise<void> {
  await ip(OUTER, [`link set ${node.link} down`])
}

export async function linkUp(node: LabNode): Promise<void> {
  await ip(OUTER, [`link set ${node.link} up`])
}
