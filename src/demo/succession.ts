// The leader as the replicas report it, and the wait until all of them report a new one.

import type { ClusterReport } from '../admin/admin-source.ts'
import type { AdminPages } from './admin-pages.ts'
import type { ReplicaPlan } from './replicas.ts'

export interface Leadership {
  readonly name: string
  readonly term: number
}

/** The cluster as one replica reports it; `report` is null if the replica does not answer. */
export interface View {
  readonly name: string
  readonly report: Pick<ClusterReport, 'self' | 'leader' | 'term' | 'revision'> | null
}

const pollIntervalMs = 20

/**
 * The leader that all these replicas report, if it is one of them; null while they differ. Compares member ids, because a restarted
 * replica has the same name.
 */
export function agreedLeader(views: readonly View[]): Leadership | null {
  const id = views[0]?.report?.leader?.id
  if (id === undefined || views.some(({ report }) => report?.leader?.id !== id)) return null
  const leader = views.find(({ report }) => report?.self === id)
  return leader?.report == null ? null : { name: leader.name, term: leader.report.term.number }
}

/**
 * One line with the leader and the revision of each replica: `edge-2 leads, term 3 | revision edge-1 3.12, edge-2 3.12, edge-3 -`.
 */
export function clusterLine(views: readonly View[]): string {
  const answering = views.filter(({ report }) => report !== null)
  const leader = agreedLeader(answering)
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
 * Resolves as soon as all remaining replicas report the same leader; with null if they do not within `withinMs`, or if none remains.
 */
export async function awaitLeader(
  pages: AdminPages,
  remaining: () => readonly ReplicaPlan[],
  withinMs: number,
): Promise<Leadership | null> {
  const deadline = performance.now() + withinMs
  while (performance.now() < deadline && remaining().length > 0) {
    const leader = agreedLeader(await viewsOf(pages, remaining()))
    if (leader !== null) return leader
    await new Promise(resolve => {
      setTimeout(resolve, pollIntervalMs)
    })
  }
  return null
}
