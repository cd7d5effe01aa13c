// Merges the providers' configurations into one, and hashes a configuration. Nothing here is fatal: of two entries with one name the
// first stays, a router without its service or middlewares is removed, and both are reported.

import { createHash } from 'node:crypto'
import type { ConfigError, DynamicConfig, Middleware, Revision, Router, Service, Snapshot } from './model.ts'
import { LIMITS } from './schema.ts'

/** Merges in the given order: the first entry with a name stays. The tables of the result are sorted by name. */
export function mergeConfigs(parts: readonly DynamicConfig[]): DynamicConfig {
  const errors: ConfigError[] = []
  const routers = new Map<string, Router>()
  const services = new Map<string, Service>()
  const middlewares = new Map<string, Middleware>()
  for (const part of parts) {
    for (const error of part.errors) errors.push(error)
    /** Services of this part whose names another part has taken. */
    const lost = new Set<string>()
    for (const [name, service] of Object.entries(part.services))
      if (!claim(services, name, limitServers(service, errors), 'service', part, errors)) lost.add(name)
    for (const [name, middleware] of Object.entries(part.middlewares))
      claim(middlewares, name, middleware, 'middleware', part, errors)
    for (const [name, router] of Object.entries(part.routers)) {
      if (!lost.has(router.service)) claim(routers, name, router, 'router', part, errors)
      else errors.push(serviceNameTaken(router, services.get(router.service)))
    }
  }
  for (const [name, router] of routers) {
    const missing = missingPart(router, services, middlewares)
    if (missing === null) continue
    // Without a middleware (authentication, say) the router must not be served; ignoring it could expose another router.
    const isMiddleware = services.has(router.service)
    if (!isMiddleware) routers.delete(name)
    errors.push({
      severity: 'error',
      provider: router.provider,
      source: router.source,
      key: `router ${name}`,
      value: router.rule.slice(0, 200),
      message: `expected ${missing}, which does not exist: the router ${isMiddleware ? 'answers 503' : 'is ignored'}`,
    })
  }
  return {
    routers: sorted(routers),
    services: sorted(services),
    middlewares: sorted(middlewares),
    errors: errors.slice(0, LIMITS.errors),
  }
}

/** A router must not lead to another part's service that happens to have the same name as its own. */
function serviceNameTaken(router: Router, holder: Service | undefined): ConfigError {
  const why = holder === undefined ? '' : `: ${usedBy(holder)}`
  return {
    severity: 'error',
    provider: router.provider,
    source: router.source,
    key: `router ${router.name}`.slice(0, 200),
    value: router.rule.slice(0, 200),
    message: `expected its own service '${router.service}'${why}; the router is ignored`,
  }
}

/** False if the name is taken or the table is full. */
function claim<T extends Router | Service | Middleware>(
  table: Map<string, T>,
  name: string,
  entry: T,
  what: 'router' | 'service' | 'middleware',
  part: DynamicConfig,
  errors: ConfigError[],
): boolean {
  // As a key, `__proto__` would set the record's prototype.
  if (name === '__proto__') return false
  const holder = table.get(name)
  if (holder === undefined && table.size < LIMITS[`${what}s`]) {
    table.set(name, entry)
    return true
  }
  const owner = ownerOf(entry) ?? Object.values(part.routers).find(r => r.middlewares.includes(name))
  errors.push({
    severity: 'error',
    provider: owner?.provider ?? 'merge',
    source: owner?.source ?? '',
    key: `${what} ${name}`.slice(0, 200),
    value: name.slice(0, 200),
    // The limits are those of the schema, so that a snapshot on disk can be read again.
    message:
      holder === undefined
        ? `expected at most ${LIMITS[`${what}s`]} ${what}s; it is ignored`
        : `expected a unique name: ${usedBy(holder)}; it is ignored`,
  })
  return false
}

function usedBy(holder: Router | Service | Middleware): string {
  const owner = ownerOf(holder)
  return owner === null ? 'another provider uses this name' : `${owner.provider} (${owner.source}) uses this name`
}

function ownerOf(entry: Router | Service | Middleware): { readonly provider: string; readonly source: string } | null {
  return 'kind' in entry ? null : entry
}

function missingPart(
  router: Router,
  services: ReadonlyMap<string, Service>,
  middlewares: ReadonlyMap<string, Middleware>,
): string | null {
  if (!services.has(router.service)) return `service '${router.service}'`
  const middleware = router.middlewares.find(name => !middlewares.has(name))
  return middleware === undefined ? null : `middleware '${middleware}'`
}

function sorted<T>(table: ReadonlyMap<string, T>): Record<string, T> {
  const out: Record<string, T> = {}
  for (const name of [...table.keys()].sort()) out[name] = table.get(name)!
  return out
}

/** Cuts a service to the number of servers that a snapshot may hold. */
function limitServers(service: Service, errors: ConfigError[]): Service {
  const { servers, provider, source, name } = service
  const max = LIMITS.serversPerService
  if (servers.length <= max) return service
  const message = `expected at most ${max} servers; the others are ignored`
  errors.push({ severity: 'error', provider, source, key: `service ${name}`, value: String(servers.length), message })
  return { ...service, servers: servers.slice(0, max) }
}

/** A configuration as a snapshot with this revision. Snapshots with equal hashes have equal content. */
export function snapshotOf(config: DynamicConfig, revision: Revision): Snapshot {
  const { routers, services, middlewares, errors } = config
  return { revision, hash: hashOf(config), routers, services, middlewares, errors }
}

/** SHA-256 of a configuration's content, hex. */
export function hashOf({ routers, services, middlewares, errors }: DynamicConfig): string {
  return createHash('sha256').update(canonicalJson({ routers, services, middlewares, errors })).digest('hex')
}

/** JSON with sorted object keys: equal values give equal text, whatever the order of their keys. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  const entries = Object.entries(value).filter(([, v]) => v !== undefined)
  entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  return `{${entries.map(([key, v]) => `${JSON.stringify(key)}:${canonicalJson(v)}`).join(',')}}`
}
