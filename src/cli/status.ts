// `skein status`: the cluster on one screen, as one replica sees it: members, leader, term, revision, managers and who uses
// which, where shared state lives, what is open or ejected. Any replica can be asked; one that is no member of a cluster tells of
// itself. Exit codes: 0 it answers, 1 it does not.

import type { HostPort } from '../options/kinds.ts'
import { hostAndPort } from '../util/listen-address.ts'
import { escaped, printable } from '../util/printable.ts'
import { type AdminResponse, fetchAdmin } from './fetch-admin.ts'
import { loadCommand, optionsEnvironment, reportErrors } from './start.ts'
import { clusterSchema, healthSchema, managersSchema, type Shown, statusScreen } from './status-screen.ts'
import { breakersSchema, ejectedSchema, stateSchema } from './status-shared.ts'

const TIMEOUT_MS = 5000

export async function status(args: readonly string[]): Promise<number> {
  const loaded = await loadCommand('status', optionsEnvironment(args))
  if (typeof loaded === 'number') return loaded
  const admin = loaded.values.admin
  if (admin === null) return reportErrors('status', ['--admin is off, expected the address of the admin API'], 2)
  try {
    const shown = await ask(admin)
    if (typeof shown === 'string') return reportErrors('status', [shown], 1)
    const text = loaded.values.json ? escaped(JSON.stringify(shown)) : statusScreen(shown)
    process.stdout.write(`${text}\n`)
    return 0
  } catch (error) {
    return reportErrors('status', [printable((error as Error).message)], 1)
  }
}

/** What the replica says, or why it cannot be shown. */
async function ask(admin: HostPort): Promise<Shown | string> {
  const { port, host } = admin
  const strange = (page: string): string =>
    `/api/${page} at ${hostAndPort(host, port)} is not what was expected: is it Skein, and of this version?`
  const pages = ['health', 'cluster', 'managers', 'state', 'breakers', 'snapshot'] as const
  const asked = await Promise.all(pages.map(page => fetchAdmin(admin, `/api/${page}`, TIMEOUT_MS)))
  const [health, cluster, managers, state, breakers, snapshot] = asked as [
    AdminResponse,
    AdminResponse,
    AdminResponse,
    AdminResponse,
    AdminResponse,
    AdminResponse,
  ]
  const well = healthSchema.safeParse(health.body)
  if (!well.success) return strange('health')
  // A replica on its own says so with 404.
  const members = clusterSchema.nullable().safeParse(cluster.status === 404 ? null : cluster.body)
  if ((cluster.status !== 200 && cluster.status !== 404) || !members.success) return strange('cluster')
  const read = managersSchema.safeParse(managers.body)
  if (managers.status !== 200 || !read.success) return strange('managers')
  const shared = stateSchema.safeParse(state.body)
  if (state.status !== 200 || !shared.success) return strange('state')
  const gates = breakersSchema.safeParse(breakers.body)
  if (breakers.status !== 200 || !gates.success) return strange('breakers')
  const ejected = ejectedSchema.safeParse(snapshot.body)
  if (snapshot.status !== 200 || !ejected.success) return strange('snapshot')
  return {
    cluster: members.data,
    health: well.data,
    managers: read.data,
    state: shared.data,
    breakers: gates.data,
    ejected: ejected.data,
  }
}
