// The parts of a configuration that need a feature, in a form that no older version can misread. Pure.
//
// Version 0.1 has no features. It refuses a whole body with a kind of middleware that it does not have, and it would serve a
// router without an option that it drops. So a router with features, or whose service has any, is sent as a stub that leads to a
// service without servers: version 0.1 answers 503 for it, as later versions do, and serves all others. The router itself, its
// service and its middlewares are in fields that version 0.1 ignores. A version that reads these fields but cannot parse an entry
// (an unknown kind of matcher) keeps the stub.

import type { DynamicConfig, Middleware, Router, Service } from '../config/model.ts'
import { parseRouter, parseService } from '../config/schema.ts'
import type { MiddlewareRegistry } from '../middlewares/registry.ts'

/** Parentheses are in no name that a label or a file can give. */
const STUB = '(needs a newer version)'

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
  let stubs = false
  for (const [name, router] of Object.entries(routers)) {
    const isNewer = needsFeatures(router) || Object.hasOwn(newerServices, router.service)
    stubs ||= isNewer
    sent[name] = isNewer ? { ...stubOf(router), newer: router } : router
  }
  return {
    routers: sent,
    services: stubs ? { ...oldServices, [STUB]: emptyService(STUB, []) } : oldServices,
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
  for (const [name, value] of Object.entries(record(newerServices))) {
    services[name] = parseService(value) ?? emptyService(name, featuresOf(value))
  }
  let stubs = false
  for (const [name, value] of Object.entries(routers)) {
    const stub = record(value)
    if (stub.newer === undefined) continue
    const router = parseRouter(stub.newer)
    if (router === null) {
      stubs = true
      routers[name] = { ...stub, newer: undefined, features: featuresOf(stub.newer) }
    } else routers[name] = router
  }
  if (!stubs) delete services[STUB]
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

function stubOf({ features: _features, ...router }: Router): Router {
  return { ...router, service: STUB, middlewares: [] }
}

/** It has no servers and is marked as out of reach, so its requests get 503 at once. */
function emptyService(name: string, features: readonly string[]): Service {
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
    provider: 'skein',
    source: '',
  }
}

/** The features of an entry that cannot be parsed; without any that is known to be missing it needs one that no version has. */
function featuresOf(value: unknown): readonly string[] {
  const { features } = record(value)
  const names = Array.isArray(features)
    ? features.filter(one => typeof one === 'string' && /^[A-Za-z0-9._-]{1,64}$/.test(one))
    : []
  return [...names.slice(0, 32), 'unreadable']
}

function record(value: unknown): Record<string, unknown> {
  return isRecord(value) ? value : {}
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
