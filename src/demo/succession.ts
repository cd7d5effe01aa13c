// Who leads, in the words of the replicas themselves, and how long it takes until all of them name a new one.

import type { ClusterReport } from '../admin/admin-source.ts'
import type { AdminPages } from './admin-pages.ts'
import type { ReplicaPlan } from './replicas.ts'

export interface Leadership {
  readonly name: string
  readonly term: number
}

/** What one replica says of its cluster; null: it does not answer. */
export interface View {
  readonly name: string
  readonly report: Pick<ClusterReport, 'self' | 'leader' | 'term' | 'revision'> | null
}

const lookEveryMs = 20

/**
 * The one leader that all these replicas name, itself one of them; null while they do not agree. Compared by member id: a replica
 * that was killed and started again bears the name of its past.
 */
export function agreed(views: readonly View[]): Leadership | null {
  const id = views[0]?.report?.leader?.id
  if (id === undefined || views.some(({ report }) => report?.leader?.id !== id)) return null
  const leader = views.find(({ report }) => report?.self === id)
  return leader?.report == null ? null : { name: leader.name, term: leader.report.term.number }
}

/**
 * The leader and how far each replica is, in a line of its own: `edge-2 leads, term 3 | revision edge-1 3.12, edge-2 3.12, edge-3
 * -`.
 */
export function clusterLine(views: readonly View[]): string {
  const answering = views.filter(({ report }) => report !== null)
  const leader = agreed(answering)
  const revisions = views.map(({ name, report }) => {
    const revision = report?.revision ?? null
    return `${name} ${revision === null ? '-' : `${revision.term}.${revision.sequence}`}`
  })
  const who = leader === null ? 'the replicas are electing a leader' : `${leader.name} leads, term ${leader.term}`
  return `${who} | revision ${revisions.join(', ')}`
}

export async function viewsOf(pages: AdminPages, plans: readonly ReplicaPlan[]): Promise<readonly View[]> {
  return Promise.all(plans.map(async ({ name, adminPort }) => ({ name, report: await pages.get(adminPort, 'cluster') })))
}

/**
 * Resolves as soon as all replicas that are left name one of themselves; null when they have not within so many milliseconds, or
 * when none is left.
 */
export async function awaitLeader(
  pages: AdminPages,
  left: () => readonly ReplicaPlan[],
  withinMs: number,
): Promise<Leadership | null> {
  const deadline = performance.now() + withinMs
  while (performance.now() < deadline && left().length > 0) {
    const leader = agreed(await viewsOf(pages, left()))
    if (leader !== null) return leader
    await new Promise(resolve => {
      setTimeout(resolve, lookEveryMs)
    })
  }
  return null
}
