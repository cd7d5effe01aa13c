// `skein status`: the cluster on one screen, as one replica sees it: members, leader, term, revision, managers and who uses
// which. Any replica can be asked; one that is no member of a cluster tells of itself. Exit codes: 0 it answers, 1 it does not.

import { hostAndPort } from '../listen-address.ts'
import type { HostPort } from '../options/kinds.ts'
import { escaped, printable } from '../printable.ts'
import { type Asked, askAdmin } from './ask-admin.ts'
import { begin, fail, surroundings } from './start.ts'
import { clusterSchema, healthSchema, managersSchema, type Shown, statusScreen } from './status-screen.ts'

const TIMEOUT_MS = 5000

export async function status(args: readonly string[]): Promise<number> {
  const loaded = await begin('status', surroundings(args))
  if (typeof loaded === 'number') return loaded
  const admin = loaded.values.admin
  if (admin === null) return fail('status', ['--admin is off, expected the address of the admin API'], 2)
  try {
    const shown = await ask(admin)
    if (typeof shown === 'string') return fail('status', [shown], 1)
    const text = loaded.values.json ? escaped(JSON.stringify(shown)) : statusScreen(shown)
    process.stdout.write(`${text}\n`)
    return 0
  } catch (error) {
    return fail('status', [printable((error as Error).message)], 1)
  }
}

/** What the replica says, or why it cannot be shown. */
async function ask(admin: HostPort): Promise<Shown | string> {
  const pages = ['/api/health', '/api/cluster', '/api/managers']
  const [health, cluster, managers] = (await Promise.all(pages.map(page => askAdmin(admin, page, TIMEOUT_MS)))) as [
    Asked,
    Asked,
    Asked,
  ]
  const strange = (page: string): string =>
    `${page} at ${hostAndPort(admin.host, admin.port)} is not what was expected: is it Skein, and of this version?`
  const well = healthSchema.safeParse(health.body)
  if (!well.success) return strange('/api/health')
  const read = managersSchema.safeParse(managers.body)
  if (managers.status !== 200 || !read.success) return strange('/api/managers')
  // A replica on its own says so with 404.
  if (cluster.status === 404) return { cluster: null, health: well.data, managers: read.data }
  const members = clusterSchema.safeParse(cluster.body)
  if (cluster.status !== 200 || !members.success) return strange('/api/cluster')
  return { cluster: members.data, health: well.data, managers: read.data }
}
