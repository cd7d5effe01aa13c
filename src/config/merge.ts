// Merges what providers contribute into one configuration, and gives a configuration its hash. Nothing in here is fatal: of two
// that claim one name the first stays, a router that leads nowhere is left out, and both are reported.

import { createHash } from 'node:crypto'
import type { ConfigError, DynamicConfig, Middleware, Revision, Router, Service, Snapshot } from './model.ts'
import { LIMITS } from './schema.ts'

/** Merges in the given order: the first to claim a name has it. The result's tables are sorted by name. */
export function mergeConfigs(parts: readonly DynamicConfig[]): DynamicConfig {
  const errors: ConfigError[] = []
  const routers = new Map<string, Router>()
  const services = new Map<string, Service>()
  const middlewares = new Map<string, Middleware>()
  for (const part of parts) {
    for (const error of part.errors) errors.push(error)
    /** Services of this part whose name another part has. */
    const lost = new Set<string>()
    for (const [name, service] of Object.entries(part.services))
      if (!claim(services, name, bounded(service, errors), 'service', part, errors)) lost.add(name)
    for (const [name, middleware] of Object.entries(part.middlewares))
      claim(middlewares, name, middleware, 'middleware', part, errors)
    for (const [name, router] of Object.entries(part.routers)) {
      if (!lost.has(router.service)) claim(routers, name, router, 'router', part, errors)
      else errors.push(misled(router, services.get(router.service)))
    }
  }
  for (const [name, router] of routers) {
    const missing = missingPart(router, services, middlewares)
    if (missing === null) continue
    routers.delete(name)
    errors.push({
      severity: 'error',
      provider: router.provider,
      source: router.source,
      key: `router ${name}`,
      value: router.rule.slice(0, 200),
      message: `expected ${missing}, which does not exist: the router was left out`,
    })
  }
  return {
    routers: sorted(routers),
    services: sorted(services),
    middlewares: sorted(middlewares),
    errors: errors.slice(0, LIMITS.errors),
  }
}

/** A router never leads to another part's service that happens to have the name of its own. */
function misled(router: Router, holder: Service | undefined): ConfigError {
  const why = holder === undefined ? '' : `: ${taken(holder)}`
  return {
    severity: 'error',
    provider: router.provider,
    source: router.source,
    key: `router ${router.name}`.slice(0, 200),
    value: router.rule.slice(0, 200),
    message: `expected service '${router.service}' of its own${why}; the router was left out`,
  }
}

/** False when the name is another's, or there is no room. */
function claim<T extends Router | Service | Middleware>(
  table: Map<string, T>,
  name: string,
  entry: T,
  what: 'router' | 'service' | 'middleware',
  part: DynamicConfig,
  errors: ConfigError[],
): boolean {
  // `__proto__` would be no key of the resulting record but its prototype.
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
    // Too many are left out, so that what is written to disk can be read again.
    message:
      holder === undefined
        ? `expected at most ${LIMITS[`${what}s`]} ${what}s; left out`
        : `expected a name of its own: ${taken(holder)}; left out`,
  })
  return false
}

function taken(holder: Router | Service | Middleware): string {
  const owner = ownerOf(holder)
  return owner === null ? 'another provider has it already' : `${owner.provider} (${owner.source}) has it already`
}

function ownerOf(entry: Router | Service | Middleware): { readonly provider: string; readonly source: string } | null {
  return 'source' in entry ? entry : null
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

/** A service with no more servers than a snapshot may hold. */
function bounded(service: Service, errors: ConfigError[]): Service {
  const { servers, provider, source, name } = service
  const max = LIMITS.serversPerService
  if (servers.length <= max) return service
  const message = `expected at most ${max} servers; the others were left out`
  errors.push({ severity: 'error', provider, source, key: `service ${name}`, value: String(servers.length), message })
  return { ...service, servers: servers.slice(0, max) }
}

/** A configuration as a snapshot: its place in the order, and the hash by which two are known to be equal. */
export function snapshotOf(config: DynamicConfig, revision: Revision): Snapshot {
  const { routers, services, middlewares, errors } = config
  return { revision, hash: hashOf(config), routers, services, middlewares, errors }
}

/** SHA-256 of a configuration's content, hex. */
export function hashOf({ routers, services, middlewares, errors }: DynamicConfig): string {
  return createHash('sha256').update(canonicalJson({ routers, services, middlewares, errors })).digest('hex')
}

/** JSON with the keys of every object sorted, so that equal values give equal text whatever order they were built in. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  const entries = Object.entries(value).filter(([, v]) => v !== undefined)
  entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  return `{${entries.map(([key, v]) => `${JSON.stringify(key)}:${canonicalJson(v)}`).join(',')}}`
}
