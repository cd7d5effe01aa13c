// `skein routes`: prints the routers of a running replica, read from its admin API, as a table.

import { z } from 'zod'
import { formatRevision } from '../config/revision.ts'
import { compareRouters } from '../config/router-order.ts'
import { describeError } from './describe-error.ts'
import { fetchAdmin } from './fetch-admin.ts'
import { loadCommand, optionsEnvironment, reportErrors } from './start.ts'
import { tableLines } from './table.ts'

const reported = z.object({
  revision: z.object({ term: z.number(), sequence: z.number() }).nullable(),
  routers: z.record(
    z.string(),
    z.object({
      name: z.string(),
      rule: z.string(),
      priority: z.number(),
      service: z.string(),
      entryPoints: z.array(z.string()),
      middlewares: z.array(z.string()),
    }),
  ),
  services: z.record(z.string(), z.object({ servers: z.array(z.object({ state: z.string() })) })),
  errors: z.array(
    z.object({ severity: z.string(), source: z.string(), key: z.string(), value: z.string(), message: z.string() }),
  ),
})

export type Reported = z.output<typeof reported>

export async function routes(args: readonly string[]): Promise<number> {
  const loaded = await loadCommand('routes', optionsEnvironment(args))
  if (typeof loaded === 'number') return loaded
  const admin = loaded.values.admin
  if (admin === null) return reportErrors('routes', ['--admin is off, expected the address of the admin API'], 2)
  try {
    const { status, body } = await fetchAdmin(admin, '/api/snapshot', 5000)
    if (status !== 200) return reportErrors('routes', [`the admin API answered with status ${status}`], 1)
    const parsed = reported.safeParse(body)
    if (!parsed.success) return reportErrors('routes', ['the answer is not a snapshot: is it Skein, and of the same version?'], 1)
    process.stdout.write(loaded.values.json ? `${JSON.stringify(parsed.data)}\n` : `${routesTable(parsed.data)}\n`)
    return 0
  } catch (error) {
    return reportErrors('routes', [(error as Error).message], 1)
  }
}

/** A table of the routers in the order in which they are tried, then the errors and warnings. */
export function routesTable({ revision, routers, services, errors }: Reported): string {
  const rows = Object.values(routers)
    .sort(compareRouters)
    .map(router => {
      const servers = services[router.service]?.servers ?? []
      const active = servers.filter(server => server.state === 'active').length
      return [
        router.rule,
        String(router.priority),
        router.entryPoints.join(',') || 'all',
        router.service,
        `${active}/${servers.length}`,
      ]
    })
  const lines = tableLines([['RULE', 'PRIORITY', 'ENTRY POINTS', 'SERVICE', 'SERVERS'], ...rows])
  const summary = `${rows.length} ${rows.length === 1 ? 'router' : 'routers'}, revision ${formatRevision(revision)}`
  const errorLines = errors.map(describeError)
  return [...lines, '', summary, ...errorLines].join('\n')
}
