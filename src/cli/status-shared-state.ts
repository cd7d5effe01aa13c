// The shared state on the screen of `skein status`: the store, breakers that are not closed, ejected servers. Pure. Names, causes and
// expressions come from labels and other machines, so all text is made printable and bounded in width and number.

import { z } from 'zod'
import { printable } from '../util/printable.ts'
import { age, moreLine } from './status-text.ts'
import { clip, tableLines } from './table.ts'

const redis = z.object({
  mode: z.string(),
  state: z.enum(['connecting', 'up', 'away']),
  reason: z.string(),
  sinceMs: z.number(),
  waiting: z.number(),
  dropped: z.number(),
  reseeded: z.number(),
})

/** The fields of GET /api/state that are shown. */
export const stateSchema = z.object({
  store: z.object({
    kind: z.enum(['gossip', 'redis']),
    entries: z.number(),
    tables: z.record(z.string(), z.number()),
    counts: z.record(z.string(), z.number()),
    redis: redis.nullable(),
  }),
  consistency: z.string(),
  sessions: z.record(z.string(), z.number()),
})

const figures = z.object({
  requests: z.number(),
  networkErrorRatio: z.number(),
  errorRatio: z.number(),
  latencyP50Ms: z.number(),
  latencyP99Ms: z.number(),
})

/** The fields of GET /api/breakers that are shown. */
export const breakersSchema = z.array(
  z.object({
    service: z.string(),
    expression: z.string(),
    state: z.enum(['closed', 'open', 'half-open', 'recovering']),
    sinceMs: z.number(),
    at: z.number(),
    by: z.string(),
    because: figures.nullable(),
    prober: z.string(),
    now: figures,
    members: z.number(),
    opened: z.number(),
    refusedRequests: z.number(),
  }),
)

/** The ejected servers of GET /api/snapshot. */
export const ejectedSchema = z
  .object({
    services: z.record(
      z.string(),
      z.object({
        servers: z.array(
          z.object({
            id: z.string(),
            host: z.string(),
            port: z.number(),
            node: z.string(),
            state: z.string(),
            ejection: z.object({ cause: z.string(), by: z.string(), sinceMs: z.number(), times: z.number() }).optional(),
          }),
        ),
      }),
    ),
  })
  .transform(({ services }) =>
    Object.entries(services).flatMap(([service, { servers }]) =>
      servers.filter(({ state }) => state === 'ejected').map(({ state: _, ...server }) => ({ service, ...server })),
    ),
  )

export type State = z.output<typeof stateSchema>
export type Breakers = z.output<typeof breakersSchema>
export type Ejected = z.output<typeof ejectedSchema>

const MAX_ROWS = 16
const NAME_WIDTH = 24
const CAUSE_WIDTH = 72
/** Width of a reason within the line of the store. */
const REASON_WIDTH = 76

/**
 * `gossip; 1200 entries, 900 learned sessions`; with Redis also its state, its duration and the reason. `standalone`: the replica is
 * not a member of a cluster.
 */
export function storeText({ store, sessions }: State, standalone: boolean): string {
  const learned = Object.values(sessions).reduce((sum, count) => sum + count, 0)
  const held = `${counted(store.entries, 'entry', 'entries')}, ${counted(learned, 'learned session', 'learned sessions')}`
  return `${storeKindText(store, standalone)}; ${held}`
}

function storeKindText({ kind, redis: status }: State['store'], standalone: boolean): string {
  const fallback = standalone ? 'its own memory' : 'gossip'
  if (kind === 'gossip' || status === null) return fallback
  const { mode, state, reason, sinceMs, waiting } = status
  const name = `Redis (${printable(clip(mode, NAME_WIDTH))})`
  const queued = waiting === 0 ? '' : `, ${waiting} writes queued`
  if (state === 'up') return `${name} up for ${age(sinceMs)}${queued}`
  const why = reason === '' ? '' : ` (${printable(clip(reason, REASON_WIDTH))})`
  const verb = state === 'away' ? 'away' : 'not connected yet'
  return `${name} ${verb} for ${age(sinceMs)}${why}${queued}; using ${fallback}`
}

const URGENCY: Readonly<Record<Breakers[number]['state'], number>> = { open: 0, 'half-open': 1, recovering: 2, closed: 3 }

/** Empty if all breakers are closed. */
export function breakerTable(breakers: Breakers): string[] {
  const notClosed = breakers.filter(({ state }) => state !== 'closed').sort((a, b) => URGENCY[a.state] - URGENCY[b.state])
  if (notClosed.length === 0) return []
  const rows = notClosed
    .slice(0, MAX_ROWS)
    .map(one => [one.service, stateText(one), age(one.sinceMs), one.by === '' ? '-' : one.by, causeText(one)])
  return [
    ...tableLines([['BREAKER', 'STATE', 'SINCE', 'BY', 'CAUSE'], ...rows], [NAME_WIDTH, 36, 9, NAME_WIDTH, CAUSE_WIDTH]),
    ...moreLine(notClosed.length - rows.length, 'breakers'),
  ]
}

function stateText({ state, prober }: Breakers[number]): string {
  return state === 'half-open' && prober !== '' ? `${state}, ${clip(prober, NAME_WIDTH)} probes` : state
}

function causeText({ because }: Breakers[number]): string {
  if (because === null) return '-'
  const { requests, networkErrorRatio, errorRatio, latencyP50Ms, latencyP99Ms } = because
  const ratios = `${percent(networkErrorRatio)} network errors, ${percent(errorRatio)} 5xx`
  const latencies = `p50 ${Math.round(latencyP50Ms)} ms, p99 ${Math.round(latencyP99Ms)} ms`
  return `${counted(requests, 'request', 'requests')}: ${ratios}, ${latencies}`
}

function counted(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`
}

function percent(ratio: number): string {
  return `${Math.round(100 * ratio)}%`
}

/** Empty if no server is ejected. */
export function ejectedTable(ejected: Ejected): string[] {
  if (ejected.length === 0) return []
  const rows = ejected.slice(0, MAX_ROWS).map(({ service, host, port, node, ejection }) => {
    const { cause = '-', by = '-', sinceMs, times = 0 } = ejection ?? {}
    const where = `${host}:${port}${node === '' ? '' : ` on ${clip(node, NAME_WIDTH)}`}`
    return [
      service,
      where,
      sinceMs === undefined ? '-' : age(sinceMs),
      by,
      times > 1 ? `${cause}, ${times} times in a row` : cause,
    ]
  })
  return [
    ...tableLines([['EJECTED FROM', 'SERVER', 'SINCE', 'BY', 'CAUSE'], ...rows], [NAME_WIDTH, 44, 9, NAME_WIDTH, 40]),
    ...moreLine(ejected.length - rows.length, 'ejected servers'),
  ]
}
