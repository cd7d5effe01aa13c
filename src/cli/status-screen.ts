// The screen of `skein status`: from what the admin API says to lines of text. Pure; names and addresses in it come from other
// machines, so nothing is printed as it is and everything is bounded in width and number.

import { z } from 'zod'
import { CLOCK_OFF_MS, clocksDiffer, spanOf } from '../../cluster/store/cluster-clock.ts'
import { revisionLag } from '../admin/revision-lag.ts'
import { printable } from '../util/printable.ts'
import { type Breakers, breakerTable, type Ejected, ejectedTable, type State, storeWords } from './status-shared.ts'
import { age, more } from './status-text.ts'
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

/** Of GET /api/cluster, what is shown. */
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

/** Of GET /api/health, what is shown. */
export const healthSchema = z.object({
  status: z.string(),
  name: z.string(),
  version: z.string(),
  uptimeMs: z.number(),
  revision: revision.nullable(),
  counts: z.object({ routers: z.number(), services: z.number(), servers: z.number(), errors: z.number() }),
})

/** Of GET /api/managers, what is shown. */
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

export interface Shown {
  readonly cluster: z.output<typeof clusterSchema> | null
  readonly health: z.output<typeof healthSchema>
  readonly managers: z.output<typeof managersSchema>
  readonly state: State
  readonly breakers: Breakers
  readonly ejected: Ejected
}

type Cluster = NonNullable<Shown['cluster']>
type Member = z.output<typeof member>

/** Rows of one table, at most; `--json` tells all. */
const MOST_ROWS = 32
/** Rows of differing options, at most: there are few, or all are of one kind. */
const MOST_DIFFERENCES = 8
/** Lines about peers that are not of this cluster, at most. */
const MOST_STRANGERS = 8
const NAME_WIDTH = 24
const WIDE = 44

/** One screen of text, without a line end. */
export function statusScreen(shown: Shown): string {
  const { cluster, health, managers } = shown
  const parts = [
    [...(cluster === null ? alone(shown) : head(cluster, health)), `store     ${storeWords(shown.state, cluster === null)}`],
    breakerTable(shown.breakers),
    ejectedTable(shown.ejected),
    ...(cluster === null ? [] : [memberTable(cluster), strangerLines(cluster), differenceTable(cluster), wrongClocks(cluster)]),
    managerTable(cluster, managers, health.name),
    ...(cluster === null || cluster.relaying.length === 0 ? [] : [relayTable(cluster)]),
  ]
  return parts
    .filter(lines => lines.length > 0)
    .map(lines => lines.join('\n'))
    .join('\n\n')
}

function alone({ health }: Shown): string[] {
  return [
    `${named(health.name)} is on its own: it is not a member of a cluster`,
    `state     ${state(health)}`,
    `revision  ${place(health.revision)}`,
    `errors    ${errors(health)}`,
  ]
}

function head(cluster: Cluster, health: Shown['health']): string[] {
  const leader =
    cluster.leader === null
      ? 'none is known'
      : `${named(cluster.leader.name)}${cluster.leader.id === cluster.self ? ' (this replica)' : ''}`
  return [
    `cluster   ${named(cluster.cluster)}, ${told(alive(cluster.members), 'member')}, seen from ${named(cluster.name)}`,
    `state     ${printable(clip(cluster.role, NAME_WIDTH))}, ${state(health)}`,
    `leader    ${leader}, term ${cluster.term.number}`,
    `revision  ${place(cluster.revision)}, ${lag(cluster)}`,
    `errors    ${errors(health)}`,
  ]
}

function lag({ revision: held, target }: Cluster): string {
  const behind = revisionLag(held, target)
  if (behind === 0) return 'up to date'
  const same = held !== null && target !== null && held.term === target.term && held.leader === target.leader
  return `${same ? behind : 'another term'} behind the leader's ${place(target)}`
}

/** A line for each member whose clock is wrong; one that clocks differ, when they do not show which are wrong. */
function wrongClocks({ members }: Cluster): string[] {
  const clocks = members.flatMap(({ name, clockOffMs }) =>
    typeof clockOffMs === 'number' ? [{ name: named(name), offMs: clockOffMs }] : [],
  )
  const differ = clocksDiffer(clocks)
  if (differ !== null) return [differ]
  return members
    .filter(({ clockOffMs }) => Math.abs(clockOffMs ?? 0) > CLOCK_OFF_MS)
    .slice(0, MOST_ROWS)
    .map(({ name, clockOffMs }) => `the clock of ${named(name)} is ${spanOf(clockOffMs ?? 0)} the cluster's: set it`)
}

/** Peers that are not of this cluster, and what to do about those without a secret of it. */
function strangerLines({ strangers }: Cluster): string[] {
  const rows = strangers.slice(0, MOST_STRANGERS)
  return [
    ...rows.map(
      ({ address, sinceMs, reason }) =>
        `the peer at ${named(address)} is not of this cluster (${age(sinceMs)}): ${printable(clip(reason, 2 * WIDE))}`,
    ),
    ...more(strangers.length - rows.length, 'peers'),
    ...(strangers.some(({ kind }) => kind === 'secret')
      ? [
          'members without a common secret serve as clusters of their own: give all the same one (docs/operating.md, Changing the secret)',
        ]
      : []),
  ]
}

function memberTable({ members }: Cluster): string[] {
  const rows = members.length <= MOST_ROWS ? members : [...members].sort((a, b) => interest(a) - interest(b)).slice(0, MOST_ROWS)
  return [
    ...tableLines(
      [
        ['', 'MEMBER', 'STATE', 'SINCE', 'REVISION', 'MANAGER', 'ADDRESS'],
        ...rows.map(one => [
          one.self ? '*' : '',
          one.name,
          stateOf(one),
          age(one.sinceMs),
          place(one.revision),
          one.manager === null ? '-' : `${one.manager}${one.managerHealthy ? '' : ' (not well)'}`,
          one.addresses[0] ?? '-',
        ]),
      ],
      [1, NAME_WIDTH, 9, 9, 20, WIDE, WIDE],
    ),
    ...more(members.length - rows.length, 'members'),
  ]
}

/** Members whose options would make another configuration than that of the leader, which counts for all. */
function differenceTable({ differences }: Cluster): string[] {
  if (differences.length === 0) return []
  const rows = differences
    .slice(0, MOST_DIFFERENCES)
    .map(one => [one.severity, one.member, `--${one.option}`, one.value, `${one.leaderValue} (${one.leader})`, age(one.forMs)])
  return [
    ...tableLines(
      [['OPTIONS DIFFER', 'MEMBER', 'OPTION', 'ITS VALUE', "THE LEADER'S, WHICH COUNTS", 'FOR'], ...rows],
      [14, NAME_WIDTH, 24, WIDE, WIDE, 9],
    ),
    ...more(differences.length - rows.length, 'differences'),
  ]
}

/** When not all can be shown: who leads and who is in trouble first, then this replica. */
function interest(one: Member): number {
  if (one.role === 'leader' && one.state === 'alive') return 0
  if (one.self) return 1
  return one.state === 'alive' ? 3 : 2
}

function stateOf(one: Member): string {
  return one.state === 'alive' ? one.role : one.state
}

/** How managers are as this replica sees them, and which members use them. */
function managerTable(cluster: Cluster | null, providers: Shown['managers'], self: string): string[] {
  const all = providers.flatMap(provider => provider.managers)
  if (all.length === 0) return []
  const rows = all.slice(0, MOST_ROWS).map(manager => {
    const users =
      cluster === null
        ? manager.current
          ? [self]
          : []
        : cluster.members.filter(one => one.state !== 'gone' && uses(one, manager.endpoint)).map(readerOf)
    return [manager.endpoint, manager.hostname ?? '-', manager.state, list(users), manager.lastError ?? '']
  })
  const widths = [WIDE, NAME_WIDTH, 9, 2 * NAME_WIDTH, WIDE]
  return [
    ...tableLines([['MANAGER', 'NODE', 'STATE', 'USED BY', 'LAST ERROR'], ...rows], widths),
    ...more(all.length - rows.length, 'managers'),
  ]
}

/** A member says what it uses in words for people: the endpoint, or a name and then the endpoint in parentheses. */
function uses({ manager }: Member, endpoint: string): boolean {
  return manager === endpoint || manager?.endsWith(`(${endpoint})`) === true
}

/** Only the leader reads; the others listen to events. */
function readerOf({ name, role }: Member): string {
  return role === 'leader' ? `${name} (reads)` : name
}

function relayTable({ relaying }: Cluster): string[] {
  const rows = relaying.slice(0, MOST_ROWS).map(({ service, through, sinceMs, cause }) => [service, through, age(sinceMs), cause])
  return [
    ...tableLines([['RELAYED SERVICE', 'THROUGH', 'SINCE', 'CAUSE'], ...rows], [WIDE, NAME_WIDTH, 9, WIDE]),
    ...more(relaying.length - rows.length, 'services'),
  ]
}

function list(names: readonly string[]): string {
  const first = names.slice(0, 4).map(name => clip(name, NAME_WIDTH))
  return names.length === 0
    ? '-'
    : `${first.join(', ')}${names.length > first.length ? ` and ${names.length - first.length} more` : ''}`
}

function state({ status, uptimeMs, version }: Shown['health']): string {
  return `${printable(clip(status, NAME_WIDTH))}; version ${printable(clip(version, NAME_WIDTH))}, up ${age(uptimeMs)}`
}

function errors({ counts }: Shown['health']): string {
  return counts.errors === 0 ? 'none' : `${counts.errors} in labels and files: skein routes tells them`
}

function alive(members: readonly Member[]): number {
  return members.filter(one => one.state !== 'gone').length
}

function told(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`
}

function named(name: string): string {
  return printable(clip(name, WIDE))
}

function place(one: z.output<typeof revision> | null): string {
  return one === null ? 'none yet' : `${one.term}.${one.sequence}`
}
