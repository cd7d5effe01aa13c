// The list of managers and this replica's own order of them: seeds, addresses found by DNS, and managers learned from /nodes,
// told apart by the node behind each endpoint (two addresses of one manager are one manager). Pure. Spec: design, section 5.

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
  /** For the certificate; null: the endpoint's own host. */
  readonly serverName: string | null
  /** True when it is the node's own address, as the swarm itself gives it. */
  readonly ownAddress: boolean
}

/** The managers in an answer of /nodes, with the endpoint each would have if it is reached as the seeds are. */
export function learnManagers(nodes: readonly DockerNode[], seeds: readonly Endpoint[]): readonly LearnedManager[] {
  const form = seeds.find(seed => seed.scheme === 'agent') ?? seeds.find(seed => seed.scheme === 'tcp')
  if (form === undefined || form.scheme === 'unix') return []
  const hosts = managersOf(nodes).map(node => ({ node, host: addressOf(node, LOOPBACK.test(form.host)) }))
  return hosts.flatMap(({ node, host }) => {
    // Managers that claim one address (several daemons on one machine) cannot be told apart by it.
    if (host === null || hosts.some(other => other.node !== node && other.host === host)) return []
    const endpoint = formatEndpoint({ scheme: form.scheme, host, port: form.port })
    return [{ endpoint, nodeId: node.ID, hostname: node.Description.Hostname }]
  })
}

/** Nodes that are managers now, by id. */
export function managersOf(nodes: readonly DockerNode[]): readonly DockerNode[] {
  return nodes
    .filter(node => node.Spec.Role === 'manager' && node.ManagerStatus !== null && node.ManagerStatus !== undefined)
    .sort((a, b) => (a.ID < b.ID ? -1 : 1))
}

/** True when the managers of the options are on this machine: then nodes may be, too. */
export function isLocal(seeds: readonly Endpoint[]): boolean {
  return seeds.some(seed => seed.scheme !== 'unix' && LOOPBACK.test(seed.host))
}

const LOOPBACK = /^(127\..*|::1)$/

/** A manager's own address without its port; null when Swarm gives none that others could reach. */
function addressOf(node: DockerNode, loopback: boolean): string | null {
  return firstAddress([node.ManagerStatus?.Addr ?? '', node.Status.Addr], loopback)
}

/** Any node's own address; a manager may call itself 0.0.0.0 and is then found by where its raft listens. */
export function nodeAddressOf(node: DockerNode, loopback: boolean): string | null {
  return firstAddress([node.Status.Addr, node.ManagerStatus?.Addr ?? ''], loopback)
}

/** The first that others could reach: not 0.0.0.0, nor loopback, unless the seeds are there too. */
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

/** All endpoints, each once; what the options or DNS name keeps that origin even when it has been learned too. */
export function buildRoster(
  seeds: readonly SeedEndpoint[],
  learned: readonly (LearnedManager & { readonly parsed: Endpoint })[],
): ReadonlyMap<string, RosterEntry> {
  const roster = new Map<string, RosterEntry>()
  const own = new Set(learned.map(manager => manager.endpoint))
  // A learned endpoint is held to the same certificate name as the seeds, where they have one.
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
  /** Node behind an endpoint, where known. */
  readonly nodeOf: ReadonlyMap<string, string>
  /** Ids of the nodes that are managers; empty before the first answer of /nodes. */
  readonly managers: readonly string[]
  readonly members: readonly string[]
  readonly self: string
  /** Endpoints that have been down for long: another address of the same manager goes before them. */
  readonly unreachable: ReadonlySet<string>
}

/**
 * This replica's own order: the best endpoint of each manager, in the order of the assignment; then endpoints not yet
 * identified; then second addresses of the same managers; last those whose node is no manager any more.
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
  const rank = (entry: RosterEntry): number => place(entry) + (unreachable.has(entry.key) ? 10 : 0)
  const primary: string[] = []
  const secondary: string[] = []
  for (const node of assign(everyone, nodes).get(self) ?? []) {
    const entries = [...(byNode.get(node) ?? [])].sort((a, b) => rank(a) - rank(b) || (a.key < b.key ? -1 : 1))
    primary.push(...entries.slice(0, 1).map(entry => entry.key))
    secondary.push(...entries.slice(1).map(entry => entry.key))
  }
  // Before anything is known, every replica begins with its own first choice among the addresses.
  const rest = assign([self], unidentified).get(self) ?? []
  return [...primary, ...rest, ...secondary, ...demoted.sort()]
}

function place(entry: RosterEntry): number {
  return entry.endpoint.scheme === 'unix' ? 0 : entry.ownAddress ? 1 : entry.origin === 'option' ? 2 : 3
}
