// The parts of a configuration that need a feature, in a form that no older version can misread. Pure.
//
// Version 0.1 has no features. It refuses a whole body with a kind of middleware or matcher that it does not have, and it would
// serve a router without an option that it drops, or without a middleware that is missing. So such a router, one with features,
// and one whose service has any, is sent as a stub that leads to a service without servers: version 0.1 answers 503 for it, as
// later versions do, and serves all others. The router itself, its service and its middlewares are in fields that version 0.1
// ignores. A version that reads these fields but cannot parse an entry (an unknown kind of matcher) keeps the stub.

import type { DynamicConfig, Matcher, Middleware, Router, Service } from '../config/model.ts'
import { parseRouter, parseService } from '../config/schema.ts'
import type { MiddlewareRegistry } from '../middlewares/registry.ts'

/** Begins the names of the stubs' services. Parentheses are in no name that a label or a file can give. */
const STUB = '(needs a newer version)'

/** The kinds of matchers of version 0.1 with their fields. Later versions add nothing here. */
const OLD_MATCHERS: Readonly<Record<string, readonly string[]>> = {
  and: ['of'],
  or: ['of'],
  not: ['of'],
  host: ['hosts'],
  hostRegexp: ['patterns'],
  path: ['paths', 'slash'],
  pathPrefix: ['prefixes'],
  pathRegexp: ['patterns', 'slash'],
  method: ['methods'],
  header: ['name', 'value'],
  headerRegexp: ['name', 'pattern'],
  query: ['name', 'value'],
  queryRegexp: ['name', 'pattern'],
}

/** A path prefix '/' would not match the path of `OPTIONS *`. */
const MATCH_ALL: Matcher = { kind: 'and', of: [] }

type Table<T> = Readonly<Record<string, T>>

export interface Encoded {
  readonly routers: Table<Router & { readonly newer?: Router }>
  readonly services: Table<Service>
  readonly middlewares: Table<Middleware>
  /** Absent where nothing needs a feature, so that equal content gives the text that version 0.1 gives. */
  readonly newerServices?: Table<Service>
  readonly newerMiddlewares?: Table<Middleware>
}

export function encodeNewerParts(config: DynamicConfig, registry: MiddlewareRegistry): Encoded {
  const { routers, services, middlewares } = config
  const [newerServices, oldServices] = split(services, needsFeatures)
  const [newerMiddlewares, oldMiddlewares] = split(middlewares, ({ kind }) => registry.find(kind)?.feature !== null)
  const sent: Record<string, Router & { readonly newer?: Router }> = {}
  for (const [name, router] of Object.entries(routers)) {
    const isNewer =
      needsFeatures(router) ||
      Object.hasOwn(newerServices, router.service) ||
      router.middlewares.some(one => !Object.hasOwn(middlewares, one))
    if (!isNewer) {
      sent[name] = router
      continue
    }
    const stub = stubOf(router)
    sent[name] = { ...stub, newer: router }
    oldServices[stub.service] ??= emptyService(stub.service, router.provider, '', [])
  }
  return {
    routers: sent,
    services: oldServices,
    middlewares: oldMiddlewares,
    ...(Object.keys(newerServices).length === 0 ? {} : { newerServices }),
    ...(Object.keys(newerMiddlewares).length === 0 ? {} : { newerMiddlewares }),
  }
}

/** Puts the parts back into the tables of a received configuration, which is validated afterwards. */
export function decodeNewerParts(config: Table<unknown>): Table<unknown> {
  const { newerServices, newerMiddlewares, ...rest } = config
  // Not a configuration: the validation says what is wrong.
  if (![config.routers, config.services, config.middlewares].every(isRecord)) return rest
  const routers = { ...record(config.routers) }
  const services = { ...record(config.services) }
  /** The names of the services that routers use, with the provider of one of these routers. */
  const used = new Map<unknown, unknown>()
  for (const [name, value] of Object.entries(routers)) {
    const stub = record(value)
    if (stub.newer !== undefined)
      routers[name] = parseRouter(stub.newer) ?? { ...stub, newer: undefined, features: featuresOf(stub.newer) }
    const { service, provider } = record(routers[name])
    used.set(service, provider)
  }
  for (const [name, value] of Object.entries(record(newerServices))) {
    services[name] = parseService(value) ?? unreadableService(name, record(value), used.get(name))
  }
  // A stub is still used where the leader could not read its router.
  for (const name of Object.keys(services)) if (name.startsWith(STUB) && !used.has(name)) delete services[name]
  const middlewares = { ...record(config.middlewares), ...record(newerMiddlewares) }
  return { ...rest, routers, services, middlewares }
}

function needsFeatures({ features }: Router | Service): boolean {
  return features !== undefined && features.length > 0
}

function split<T>(table: Table<T>, first: (entry: T) => boolean): [Record<string, T>, Record<string, T>] {
  const parts: [Record<string, T>, Record<string, T>] = [{}, {}]
  for (const [name, entry] of Object.entries(table)) parts[first(entry) ? 0 : 1][name] = entry
  return parts
}

/** Its service belongs to the router's provider: a leader whose provider delivers nothing keeps only that provider's entries. */
function stubOf({ features: _features, ...router }: Router): Router {
  return { ...router, matcher: widened(router.matcher), service: `${STUB} ${router.provider}`, middlewares: [] }
}

/** The matcher with only parts that version 0.1 has. It matches at least what `m` matches, so no other router gets these requests. */
function widened(m: Matcher): Matcher {
  if (isOldMatcher(m)) return m
  // The negation of a broader matcher would be narrower.
  return hasOldForm(m) && (m.kind === 'and' || m.kind === 'or') ? { kind: m.kind, of: m.of.map(widened) } : MATCH_ALL
}

function isOldMatcher(m: Matcher): boolean {
  if (!hasOldForm(m)) return false
  if (m.kind === 'and' || m.kind === 'or') return m.of.every(isOldMatcher)
  return m.kind !== 'not' || isOldMatcher(m.of)
}

/** Version 0.1 drops a field that it does not know, and would then match something else. */
function hasOldForm(m: Matcher): boolean {
  if (!Object.hasOwn(OLD_MATCHERS, m.kind)) return false
  const fields = OLD_MATCHERS[m.kind]!
  return Object.entries(m).every(([key, value]) => key === 'kind' || value === undefined || fields.includes(key))
}

/** A service that cannot be parsed, without servers. `userProvider`: that of a router that uses it. */
function unreadableService(name: string, value: Table<unknown>, userProvider: unknown): Service {
  const isProvider = (one: unknown): one is string => typeof one === 'string' && /^(?!__proto__$).{1,512}$/s.test(one)
  const provider = [value.provider, userProvider].find(isProvider) ?? 'skein'
  const source = typeof value.source === 'string' ? value.source.slice(0, 2_048) : ''
  return emptyService(name, provider, source, featuresOf(value))
}

/** It has no servers and is marked as out of reach, so its requests get 503 at once. */
function emptyService(name: string, provider: string, source: string, features: readonly string[]): Service {
  return {
    name,
    servers: [],
    balancer: 'wrr',
    sticky: null,
    learn: null,
    breaker: null,
    outliers: { errors: 0 },
    healthCheck: null,
    maxConn: null,
    outOfReach: true,
    timeouts: { responseHeaderMs: null, stallMs: null },
    ...(features.length === 0 ? {} : { features }),
    provider,
    source,
  }
}

/** The features of an entry that cannot be parsed; without any that is known to be missing it needs one that no version has. */
function featuresOf(value: unknown): readonly string[] {
  const { features } = record(value)
  const names = Array.isArray(features)
    ? features.filter(one => typeof one === 'string' && /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(one))
    : []
  return [...names.slice(0, 32), 'unreadable']
}

function record(value: unknown): Record<string, unknown> {
  return isRecord(value) ? value : {}
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
