// Finds the routers that this replica must not serve: a middleware that this version does not have or that does not compile, or a
// feature that it lacks (a newer version leads the cluster during a rolling update). Its workers answer 503 for these routers and
// serve all others; every reason is reported. A description passes its schema here before a worker compiles it.

import { z } from 'zod'
import { missingFeature } from '../config/features.ts'
import type { ConfigError, DynamicConfig, Middleware, Router, Snapshot } from '../config/model.ts'
import type { MiddlewareRegistry } from '../middlewares/registry.ts'

/** Limit of the reported routers; one more finding says that there are others. */
const MAX_FINDINGS = 1_000

/** Limit of a description as JSON, in characters. A longer one closes its routers only: version 0.1 accepts longer ones. */
const MAX_DESCRIPTION = 131_072

export interface CheckedRoutes {
  /** Without the middlewares that cannot be used: the workers take them as missing. */
  readonly snapshot: Snapshot
  readonly errors: readonly ConfigError[]
}

export class RouteCheck {
  private readonly registry: MiddlewareRegistry
  /** Results of the previous snapshot by description; '' if it can be used. */
  private known = new Map<string, string>()

  constructor(registry: MiddlewareRegistry) {
    this.registry = registry
  }

  check(snapshot: Snapshot): CheckedRoutes {
    const before = this.known
    this.known = new Map()
    const unusable = new Map<string, string>()
    for (const [name, description] of Object.entries(snapshot.middlewares)) {
      const text = JSON.stringify(description)
      const reason = this.known.get(text) ?? before.get(text) ?? this.reasonAgainst(description, text.length)
      this.known.set(text, reason)
      if (reason !== '') unusable.set(name, reason)
    }
    const errors: ConfigError[] = []
    for (const router of Object.values(snapshot.routers)) {
      const message = this.reasonOf(router, snapshot, unusable)
      if (message === '') continue
      const { provider, source, name, rule } = router
      if (errors.length === MAX_FINDINGS) {
        const more = 'more routers cannot be served by this replica and answer 503; they are not listed'
        errors.push({ severity: 'error', provider, source: '', key: '', value: '', message: more })
        break
      }
      const key = `router ${name}`.slice(0, 200)
      errors.push({ severity: 'error', provider, source, key, value: rule.slice(0, 200), message })
    }
    if (unusable.size === 0) return { snapshot, errors }
    const usable = Object.entries(snapshot.middlewares).filter(([name]) => !unusable.has(name))
    return { snapshot: { ...snapshot, middlewares: Object.fromEntries(usable) }, errors }
  }

  private reasonAgainst(description: Middleware, length: number): string {
    if (length > MAX_DESCRIPTION) return `expected a description of at most ${MAX_DESCRIPTION} characters, not ${length}`
    const kind = this.registry.find(description.kind)
    if (kind === undefined) return `this version of Skein has no middleware '${description.kind}'`
    const parsed = kind.schema(z).safeParse(description)
    if (!parsed.success) {
      const [issue] = parsed.error.issues
      return `${description.kind}.${issue?.path.map(String).join('.') ?? ''}: ${issue?.message ?? 'not valid'}`.slice(0, 500)
    }
    const compiled = this.registry.compile(description)
    if (typeof compiled === 'string') return compiled.slice(0, 500)
    compiled.close?.()
    return ''
  }

  private reasonOf(router: Router, { services }: Snapshot, unusable: ReadonlyMap<string, string>): string {
    const service = services[router.service]
    const feature = service === undefined ? null : missingFeature(router, service, this.registry.features)
    if (feature !== null)
      return `expected a version of Skein with the feature '${feature}'; this replica answers 503 for the router`
    for (const name of router.middlewares) {
      const reason = unusable.get(name)
      if (reason !== undefined)
        return `expected a middleware '${name}' that can be used (${reason}); this replica answers 503 for the router`
    }
    return ''
  }
}

/** Adds to every router the features that its middlewares need, so that older versions do not serve it without them. */
export function withFeatures(config: DynamicConfig, registry: MiddlewareRegistry): DynamicConfig {
  if (registry.features.size === 0) return config
  const routers: Record<string, Router> = {}
  for (const [name, router] of Object.entries(config.routers)) {
    const features = new Set(router.features)
    for (const one of router.middlewares) {
      const kind = Object.hasOwn(config.middlewares, one) ? config.middlewares[one]!.kind : ''
      const feature = registry.find(kind)?.feature ?? null
      if (feature !== null) features.add(feature)
    }
    routers[name] = features.size === 0 ? router : { ...router, features: [...features].sort() }
  }
  return { ...config, routers }
}
