// `skein status`: shows the cluster as one replica sees it: members, leader, term, revision, managers and their users, the store,
// breakers that are not closed and ejected servers. Works with any replica; one without a cluster shows itself. Exit codes: 0 the
// replica answered, 1 it did not.

import type { HostPort } from '../options/kinds.ts'
import { hostAndPort } from '../util/listen-address.ts'
import { escaped, printable } from '../util/printable.ts'
import { type AdminResponse, fetchAdmin } from './fetch-admin.ts'
import { loadCommand, optionsEnvironment, reportErrors } from './start.ts'
import { clusterSchema, healthSchema, managersSchema, type StatusReport, statusScreen } from './status-screen.ts'
import { breakersSchema, ejectedSchema, stateSchema } from './status-shared-state.ts'

const TIMEOUT_MS = 5000

export async function status(args: readonly string[]): Promise<number> {
  const loaded = await loadCommand('status', optionsEnvironment(args))
  if (typeof loaded === 'number') return loaded
  const admin = loaded.values.admin
  if (admin === null) return reportErrors('status', ['--admin is off, expected the address of the admin API'], 2)
  try {
    const report = await fetchStatus(admin)
    if (typeof report === 'string') return reportErrors('status', [report], 1)
    const text = loaded.values.json ? escaped(JSON.stringify(report)) : statusScreen(report)
    process.stdout.write(`${text}\n`)
    return 0
  } catch (error) {
    return reportErrors('status', [printable((error as Error).message)], 1)
  }
}

/** The replica's status, or the reason why it cannot be shown. */
async function fetchStatus(admin: HostPort): Promise<StatusReport | string> {
  const { port, host } = admin
  const unexpected = (page: string): string =>
    `/api/${page} at ${hostAndPort(host, port)} has an unexpected format: is it Skein, and of the same version?`
  const pages = ['health', 'cluster', 'managers', 'state', 'breakers', 'snapshot'] as const
  const responses = await Promise.all(pages.map(page => fetchAdmin(admin, `/api/${page}`, TIMEOUT_MS)))
  const [health, cluster, managers, state, breakers, snapshot] = responses as [
    AdminResponse,
    AdminResponse,
    AdminResponse,
    AdminResponse,
    AdminResponse,
    AdminResponse,
  ]
  const parsedHealth = healthSchema.safeParse(health.body)
  if (!parsedHealth.success) return unexpected('health')
  // 404: the replica is not a member of a cluster.
  const members = clusterSchema.nullable().safeParse(cluster.status === 404 ? null : cluster.body)
  if ((cluster.status !== 200 && cluster.status !== 404) || !members.success) return unexpected('cluster')
  const parsedManagers = managersSchema.safeParse(managers.body)
  if (managers.status !== 200 || !parsedManagers.success) return unexpected('managers')
  const shared = stateSchema.safeParse(state.body)
  if (state.status !== 200 || !shared.success) return unexpected('state')
  const parsedBreakers = breakersSchema.safeParse(breakers.body)
  if (breakers.status !== 200 || !parsedBreakers.success) return unexpected('breakers')
  const ejected = ejectedSchema.safeParse(snapshot.body)
  if (snapshot.status !== 200 || !ejected.success) return unexpected('snapshot')
  return {
    cluster: members.data,
    health: parsedHealth.data,
    managers: parsedManagers.data,
    state: shared.data,
    breakers: parsedBreakers.data,
    ejected: ejected.data,
  }
}
