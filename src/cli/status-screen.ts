// The screen of `skein status`: formats the admin API's answers as text. Pure. Names and addresses come from other machines, so all
// text is made printable and bounded in width and number.

import { z } from 'zod'
import { CLOCK_OFF_MS, clocksDiffer, spanOf } from '../../cluster/store/cluster-clock.ts'
import { revisionLag } from '../admin/revision-lag.ts'
import { formatRevision } from '../config/revision.ts'
import { printable } from '../util/printable.ts'
import { type Breakers, breakerTable, type Ejected, ejectedTable, type State, storeText } from './status-shared-state.ts'
import { age, moreLine } from './status-text.ts'
import { clip, tableLines } from './table.ts'

const revision = z.object({ term: z.number(), leader: z.string(), sequence: z.number() })
const member = z.object({
  id: z.string(),
  name: z.string(),
  state: z.string(),
  role: z.string(),
  sinceMs: z.number(),
  version: z.string(),
  manager: z.string().nullable(),
  managerHealthy: z.boolean(),
  revision: revision.nullable(),
  addresses: z.array(z.string()),
  self: z.boolean(),
  clockOffMs: z.number().nullable().optional(),
})

/** The fields of GET /api/cluster that are shown. */
export const clusterSchema = z.object({
  cluster: z.string(),
  self: z.string(),
  name: z.string(),
  role: z.string(),
  term: z.object({ number: z.number(), leader: z.string() }),
  leader: z.object({ id: z.string(), name: z.string() }).nullable(),
  revision: revision.nullable(),
  target: revision.nullable(),
  members: z.array(member),
  differences: z
    .array(
      z.object({
        member: z.string(),
        option: z.string(),
        value: z.string(),
        leader: z.string(),
        leaderValue: z.string(),
        forMs: z.number(),
        severity: z.string(),
      }),
    )
    .default([]),
  strangers: z.array(z.object({ address: z.string(), sinceMs: z.number(), kind: z.string(), reason: z.string() })).default([]),
  relaying: z.array(z.object({ service: z.string(), through: z.string(), sinceMs: z.number(), cause: z.string() })),
})

/** The fields of GET /api/health that are shown. */
export const healthSchema = z.object({
  status: z.string(),
  name: z.string(),
  version: z.string(),
  uptimeMs: z.number(),
  revision: revision.nullable(),
  counts: z.object({ routers: z.number(), services: z.number(), servers: z.number(), errors: z.number() }),
})

/** The fields of GET /api/managers that are shown. */
export const managersSchema = z.array(
  z.object({
    provider: z.string(),
    managers: z.array(
      z.object({
        endpoint: z.string(),
        hostname: z.string().nullable(),
        current: z.boolean(),
        state: z.string(),
        lastError: z.string().nullable(),
      }),
    ),
  }),
)

export interface StatusReport {
  readonly cluster: z.output<typeof clusterSchema> | null
  readonly health: z.output<typeof healthSchema>
  readonly managers: z.output<typeof managersSchema>
  readonly state: State
  readonly breakers: Breakers
  readonly ejected: Ejected
}

type Cluster = NonNullable<StatusReport['cluster']>
type Member = z.output<typeof member>

/** Rows of one table; `--json` lists all. */
const MAX_ROWS = 32
/** Rows of differing options: there are few, or all are of one kind. */
const MAX_DIFFERENCES = 8
/** Lines about peers that do not belong to this cluster. */
const MAX_FOREIGN_PEERS = 8
const NAME_WIDTH = 24
const ADDRESS_WIDTH = 44

/** One screen of text, without a final line end. */
export function statusScreen(shown: StatusReport): string {
  const { cluster, health, managers } = shown
  const parts = [
    [
      ...(cluster === null ? standaloneLines(shown) : clusterLines(cluster, health)),
      `store     ${storeText(shown.state, cluster === null)}`,
    ],
    breakerTable(shown.breakers),
    ejectedTable(shown.ejected),
    ...(cluster === null ? [] : [memberTable(cluster), foreignPeerLines(cluster), differenceTable(cluster), clockLines(cluster)]),
    managerTable(cluster, managers, health.name),
    ...(cluster === null || cluster.relaying.length === 0 ? [] : [relayTable(cluster)]),
  ]
  return parts
    .filter(lines => lines.length > 0)
    .map(lines => lines.join('\n'))
    .join('\n\n')
}

function standaloneLines({ health }: StatusReport): string[] {
  return [
    `${safeName(health.name)} is not a member of a cluster`,
    `state     ${state(health)}`,
    `revision  ${formatRevision(health.revision)}`,
    `errors    ${errors(health)}`,
  ]
}

function clusterLines(cluster: Cluster, health: StatusReport['health']): string[] {
  const leader =
    cluster.leader === null
      ? 'none'
      : `${safeName(cluster.leader.name)}${cluster.leader.id === cluster.self ? ' (this replica)' : ''}`
  return [
    `cluster   ${safeName(cluster.cluster)}, ${counted(countPresent(cluster.members), 'member')}, seen from ${safeName(cluster.name)}`,
    `state     ${printable(clip(cluster.role, NAME_WIDTH))}, ${state(health)}`,
    `leader    ${leader}, term ${cluster.term.number}`,
    `revision  ${formatRevision(cluster.revision)}, ${lag(cluster)}`,
    `errors    ${errors(health)}`,
  ]
}

function lag({ revision: held, target }: Cluster): string {
  const behind = revisionLag(held, target)
  if (behind === 0) return 'up to date'
  const sameTerm = held !== null && target !== null && held.term === target.term && held.leader === target.leader
  return sameTerm
    ? `${behind} behind the leader's ${formatRevision(target)}`
    : `of another term than the leader's ${formatRevision(target)}`
}

/** One line for each member whose clock is wrong; one line for all if it is not known which clocks are wrong. */
function clockLines({ members }: Cluster): string[] {
  const clocks = members.flatMap(({ name, clockOffMs }) =>
    typeof clockOffMs === 'number' ? [{ name: safeName(name), offMs: clockOffMs }] : [],
  )
  const differ = clocksDiffer(clocks)
  if (differ !== null) return [differ]
  return members
    .filter(({ clockOffMs }) => Math.abs(clockOffMs ?? 0) > CLOCK_OFF_MS)
    .slice(0, MAX_ROWS)
    .map(({ name, clockOffMs }) => `the clock of ${safeName(name)} is ${spanOf(clockOffMs ?? 0)} the cluster's: set it`)
}

/** Peers that do not belong to this cluster, and the remedy if they hold another secret. */
function foreignPeerLines({ strangers }: Cluster): string[] {
  const rows = strangers.slice(0, MAX_FOREIGN_PEERS)
  return [
    ...rows.map(
      ({ address, sinceMs, reason }) =>
        `the peer at ${safeName(address)} does not belong to this cluster (${age(sinceMs)}): ${printable(clip(reason, 2 * ADDRESS_WIDTH))}`,
    ),
    ...moreLine(strangers.length - rows.length, 'peers'),
    ...(strangers.some(({ kind }) => kind === 'secret')
      ? [
          'members without a common secret form separate clusters: set the same secret on all (docs/operating.md, Changing the secret)',
        ]
      : []),
  ]
}

function memberTable({ members }: Cluster): string[] {
  const rows = members.length <= MAX_ROWS ? members : [...members].sort((a, b) => rank(a) - rank(b)).slice(0, MAX_ROWS)
  return [
    ...tableLines(
      [
        ['', 'MEMBER', 'STATE', 'SINCE', 'REVISION', 'MANAGER', 'ADDRESS'],
        ...rows.map(one => [
          one.self ? '*' : '',
          one.name,
          stateOf(one),
          age(one.sinceMs),
          formatRevision(one.revision),
          one.manager === null ? '-' : `${one.manager}${one.managerHealthy ? '' : ' (unhealthy)'}`,
          one.addresses[0] ?? '-',
        ]),
      ],
      [1, NAME_WIDTH, 9, 9, 20, ADDRESS_WIDTH, ADDRESS_WIDTH],
    ),
    ...moreLine(members.length - rows.length, 'members'),
  ]
}

/** Members whose options would give another configuration than the leader's, which is in effect for all. */
function differenceTable({ differences }: Cluster): string[] {
  if (differences.length === 0) return []
  const rows = differences
    .slice(0, MAX_DIFFERENCES)
    .map(one => [one.severity, one.member, `--${one.option}`, one.value, `${one.leaderValue} (${one.leader})`, age(one.forMs)])
  return [
    ...tableLines(
      [['OPTIONS DIFFER', 'MEMBER', 'OPTION', 'VALUE', "LEADER'S VALUE (IN EFFECT)", 'FOR'], ...rows],
      [14, NAME_WIDTH, 24, ADDRESS_WIDTH, ADDRESS_WIDTH, 9],
    ),
    ...moreLine(differences.length - rows.length, 'differences'),
  ]
}

/** The order if not all members fit: the leader, this replica, members that are not alive, the others. */
function rank(one: Member): number {
  if (one.role === 'leader' && one.state === 'alive') return 0
  if (one.self) return 1
  return one.state === 'alive' ? 3 : 2
}

function stateOf(one: Member): string {
  return one.state === 'alive' ? one.role : one.state
}

/** The managers' states as this replica sees them, and the members that use them. */
function managerTable(cluster: Cluster | null, providers: StatusReport['managers'], self: string): string[] {
  const all = providers.flatMap(provider => provider.managers)
  if (all.length === 0) return []
  const rows = all.slice(0, MAX_ROWS).map(manager => {
    const users =
      cluster === null
        ? manager.current
          ? [self]
          : []
        : cluster.members.filter(one => one.state !== 'gone' && uses(one, manager.endpoint)).map(memberLabel)
    return [manager.endpoint, manager.hostname ?? '-', manager.state, joinNames(users), manager.lastError ?? '']
  })
  const widths = [ADDRESS_WIDTH, NAME_WIDTH, 9, 2 * NAME_WIDTH, ADDRESS_WIDTH]
  return [
    ...tableLines([['MANAGER', 'NODE', 'STATE', 'USED BY', 'LAST ERROR'], ...rows], widths),
    ...moreLine(all.length - rows.length, 'managers'),
  ]
}

/** A member announces its manager as text: the endpoint, or a name with the endpoint in parentheses. */
function uses({ manager }: Member, endpoint: string): boolean {
  return manager === endpoint || manager?.endsWith(`(${endpoint})`) === true
}

/** Only the leader reads; the other members listen for events. */
function memberLabel({ name, role }: Member): string {
  return role === 'leader' ? `${name} (reads)` : name
}

function relayTable({ relaying }: Cluster): string[] {
  const rows = relaying.slice(0, MAX_ROWS).map(({ service, through, sinceMs, cause }) => [service, through, age(sinceMs), cause])
  return [
    ...tableLines([['RELAYED SERVICE', 'THROUGH', 'SINCE', 'CAUSE'], ...rows], [ADDRESS_WIDTH, NAME_WIDTH, 9, ADDRESS_WIDTH]),
    ...moreLine(relaying.length - rows.length, 'services'),
  ]
}

function joinNames(names: readonly string[]): string {
  const first = names.slice(0, 4).map(name => clip(name, NAME_WIDTH))
  return names.length === 0
    ? '-'
    : `${first.join(', ')}${names.length > first.length ? ` and ${names.length - first.length} more` : ''}`
}

function state({ status, uptimeMs, version }: StatusReport['health']): string {
  return `${printable(clip(status, NAME_WIDTH))}; version ${printable(clip(version, NAME_WIDTH))}, up ${age(uptimeMs)}`
}

function errors({ counts }: StatusReport['health']): string {
  return counts.errors === 0 ? 'none' : `${counts.errors} in labels and files: skein routes lists them`
}

function countPresent(members: readonly Member[]): number {
  return members.filter(one => one.state !== 'gone').length
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`
}

function safeName(name: string): string {
  return printable(clip(name, ADDRESS_WIDTH))
}
