// The list of managers and this replica's order of preference: seeds, addresses found by DNS, and managers learned from /nodes.
// Endpoints are grouped by node, so two addresses of one manager count as one manager. Pure.

import { isIP } from 'node:net'
import { assign } from '../../../cluster/manager-assignment.ts'
import { type Endpoint, formatEndpoint } from '../docker-api/endpoint.ts'
import type { DockerNode } from '../docker-api/schemas.ts'
import type { SeedEndpoint } from './endpoint-addresses.ts'
import type { LearnedManager } from './learned-managers.ts'

/** One endpoint of one manager. */
export interface RosterEntry {
  /** As users write it; unique. */
  readonly key: string
  readonly endpoint: Endpoint
  readonly origin: 'option' | 'dns' | 'learned'
  /** Name in the certificate; null: the endpoint's own host. */
  readonly serverName: string | null
  /** True for the node's own address as the swarm lists it. */
  readonly ownAddress: boolean
}

/** The managers in an answer of /nodes, each with the endpoint that it has if it is reached like the seeds. */
export function learnManagers(nodes: readonly DockerNode[], seeds: readonly Endpoint[]): readonly LearnedManager[] {
  const form = seeds.find(seed => seed.scheme === 'agent') ?? seeds.find(seed => seed.scheme === 'tcp')
  if (form === undefined || form.scheme === 'unix') return []
  const hosts = managersOf(nodes).map(node => ({ node, host: addressOf(node, LOOPBACK.test(form.host)) }))
  return hosts.flatMap(({ node, host }) => {
    // Several managers with one address (several daemons on one machine) cannot be told apart.
    if (host === null || hosts.some(other => other.node !== node && other.host === host)) return []
    const endpoint = formatEndpoint({ scheme: form.scheme, host, port: form.port })
    return [{ endpoint, nodeId: node.ID, hostname: node.Description.Hostname }]
  })
}

/** Nodes that are managers now, sorted by id. */
export function managersOf(nodes: readonly DockerNode[]): readonly DockerNode[] {
  return nodes
    .filter(node => node.Spec.Role === 'manager' && node.ManagerStatus !== null && node.ManagerStatus !== undefined)
    .sort((a, b) => (a.ID < b.ID ? -1 : 1))
}

/** True when the seeds are on this machine; then nodes may have loopback addresses. */
export function isLocal(seeds: readonly Endpoint[]): boolean {
  return seeds.some(seed => seed.scheme !== 'unix' && LOOPBACK.test(seed.host))
}

const LOOPBACK = /^(127\..*|::1)$/

/** A manager's own address without its port; null when Swarm lists none that is reachable from other machines. */
function addressOf(node: DockerNode, loopback: boolean): string | null {
  return firstAddress([node.ManagerStatus?.Addr ?? '', node.Status.Addr], loopback)
}

/** Any node's own address. A manager may list itself as 0.0.0.0; then its raft address is used. */
export function nodeAddressOf(node: DockerNode, loopback: boolean): string | null {
  return firstAddress([node.Status.Addr, node.ManagerStatus?.Addr ?? ''], loopback)
}

/** The first address that other machines can reach: not 0.0.0.0, and loopback only when `loopback` is set. */
function firstAddress(texts: readonly string[], loopback: boolean): string | null {
  for (const text of texts) {
    const host = hostOf(text)
    if (isIP(host) === 0 || host === '0.0.0.0' || host === '::') continue
    if (loopback || !LOOPBACK.test(host)) return host
  }
  return null
}

function hostOf(address: string): string {
  const bracketed = /^\[([^\]]+)\]/.exec(address)
  if (bracketed?.[1] !== undefined) return bracketed[1].toLowerCase()
  return isIP(address) !== 0 ? address : (address.split(':')[0] ?? '')
}

/** All endpoints, each once. An endpoint from the options or DNS keeps that origin even when it is learned too. */
export function buildRoster(
  seeds: readonly SeedEndpoint[],
  learned: readonly (LearnedManager & { readonly parsed: Endpoint })[],
): ReadonlyMap<string, RosterEntry> {
  const roster = new Map<string, RosterEntry>()
  const own = new Set(learned.map(manager => manager.endpoint))
  // A learned endpoint must present the same certificate name as the seeds, where they have one.
  const serverName = seeds.find(seed => seed.serverName !== null)?.serverName ?? null
  for (const { endpoint, origin, serverName: name } of seeds) {
    const key = formatEndpoint(endpoint)
    roster.set(key, { key, endpoint, origin, serverName: name, ownAddress: own.has(key) })
  }
  for (const { endpoint: key, parsed } of learned) {
    if (!roster.has(key)) roster.set(key, { key, endpoint: parsed, origin: 'learned', serverName, ownAddress: true })
  }
  return roster
}

export interface OrderInput {
  readonly roster: ReadonlyMap<string, RosterEntry>
  /** Node id by endpoint, where known. */
  readonly nodeOf: ReadonlyMap<string, string>
  /** Ids of the nodes that are managers; empty before the first answer of /nodes. */
  readonly managers: readonly string[]
  readonly members: readonly string[]
  readonly self: string
  /** Endpoints that have been down for long: another address of the same manager precedes them. */
  readonly unreachable: ReadonlySet<string>
}

/**
 * This replica's order of preference: the best endpoint of each manager in the order of the assignment, then unidentified
 * endpoints, then second addresses of the same managers, then endpoints whose node is no longer a manager.
 */
export function orderEndpoints({ roster, nodeOf, managers, members, self, unreachable }: OrderInput): readonly string[] {
  const everyone = members.includes(self) ? members : [...members, self]
  const known = new Set(managers)
  const byNode = new Map<string, RosterEntry[]>()
  const unidentified: string[] = []
  const demoted: string[] = []
  for (const entry of roster.values()) {
    const node = nodeOf.get(entry.key)
    if (node === undefined) unidentified.push(entry.key)
    else if (known.size > 0 && !known.has(node)) demoted.push(entry.key)
    else byNode.set(node, [...(byNode.get(node) ?? []), entry])
  }
  const nodes = known.size > 0 ? [...known] : [...byNode.keys()]
  const rank = (entry: RosterEntry): number => preference(entry) + (unreachable.has(entry.key) ? 10 : 0)
  const primary: string[] = []
  const secondary: string[] = []
  for (const node of assign(everyone, nodes).get(self) ?? []) {
    const entries = [...(byNode.get(node) ?? [])].sort((a, b) => rank(a) - rank(b) || (a.key < b.key ? -1 : 1))
    primary.push(...entries.slice(0, 1).map(entry => entry.key))
    secondary.push(...entries.slice(1).map(entry => entry.key))
  }
  // Before any manager is identified, each replica starts with another address.
  const rest = assign([self], unidentified).get(self) ?? []
  return [...primary, ...rest, ...secondary, ...demoted.sort()]
}

function preference(entry: RosterEntry): number {
  return entry.endpoint.scheme === 'unix' ? 0 : entry.ownAddress ? 1 : entry.origin === 'option' ? 2 : 3
}
