// The middleware chains of all routers of one worker. A middleware belongs to one router and survives snapshots in which its
// description is equal, with its state (the buckets of a rate limit, a cache of answers). Requests in flight keep the chain they
// started with.

import { missingFeature } from '../../config/features.ts'
import type { Middleware, Router, Service, Snapshot } from '../../config/model.ts'
import { MiddlewareChain } from '../../middlewares/chain.ts'
import type { CompiledMiddleware } from '../../middlewares/middleware.ts'

/** The part of src/middlewares/registry.ts that a worker uses. */
export interface MiddlewareCompiler {
  /** Features that its middlewares provide. */
  readonly features: ReadonlySet<string>
  /** @returns the reason if the description cannot be compiled */
  compile(description: Middleware): CompiledMiddleware | string
}

interface Instance {
  readonly description: string
  /** Or the reason why it does not compile. */
  readonly compiled: CompiledMiddleware | string
}

/** The chain of a router (null: none), or the reason why it must answer 503 ('' otherwise). */
export interface RouterChain {
  readonly chain: MiddlewareChain | null
  readonly unavailable: string
}

export class RouterChains {
  private readonly compiler: MiddlewareCompiler
  /** By router and name of the middleware. */
  private instances = new Map<string, Instance>()

  constructor(compiler: MiddlewareCompiler) {
    this.compiler = compiler
  }

  /**
   * Compiles the chains of a snapshot's routers. Instances that no router has any more are closed; `closeFailures` are the errors of
   * those that fail to.
   */
  apply(
    snapshot: Snapshot,
    routers: readonly Router[],
  ): { readonly chains: ReadonlyMap<string, RouterChain>; readonly closeFailures: readonly string[] } {
    const before = this.instances
    this.instances = new Map()
    const descriptions = new Map(Object.entries(snapshot.middlewares).map(([name, one]) => [name, JSON.stringify(one)]))
    const chains = new Map<string, RouterChain>()
    for (const router of routers) {
      const service = snapshot.services[router.service]!
      chains.set(router.name, this.chainOf(snapshot, router, service, descriptions, before))
    }
    const closeFailures: string[] = []
    for (const [key, { compiled }] of before) {
      if (typeof compiled === 'string' || this.instances.get(key)?.compiled === compiled) continue
      try {
        compiled.close?.()
      } catch (error) {
        const [router, name] = key.split('\0')
        closeFailures.push(`middleware '${name}' of router ${router} failed to close: ${(error as Error).message}`)
      }
    }
    return { chains, closeFailures }
  }

  private chainOf(
    snapshot: Snapshot,
    router: Router,
    service: Service,
    descriptions: ReadonlyMap<string, string>,
    before: ReadonlyMap<string, Instance>,
  ): RouterChain {
    const feature = missingFeature(router, service, this.compiler.features)
    let unavailable = feature === null ? '' : `this version of Skein has no feature '${feature}'`
    const all: CompiledMiddleware[] = []
    for (const name of router.middlewares) {
      const description = descriptions.get(name)
      if (description === undefined) {
        unavailable ||= `middleware '${name}' is missing`
        continue
      }
      const key = `${router.name}\0${name}`
      let instance = this.instances.get(key) ?? before.get(key)
      if (instance === undefined || instance.description !== description)
        instance = { description, compiled: this.compiler.compile(snapshot.middlewares[name]!) }
      this.instances.set(key, instance)
      if (typeof instance.compiled === 'string') unavailable ||= `middleware '${name}': ${instance.compiled}`
      else all.push(instance.compiled)
    }
    if (unavailable !== '') return { chain: null, unavailable }
    return { chain: all.length === 0 ? null : new MiddlewareChain(all), unavailable }
  }
}
