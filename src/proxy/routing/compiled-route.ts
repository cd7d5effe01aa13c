// A router as a data worker runs it.

import type { Router } from '../../config/model.ts'
import type { MiddlewareChain } from '../../middlewares/chain.ts'
import type { RuntimeService } from '../runtime-service.ts'

export interface CompiledRoute {
  readonly router: Router
  readonly service: RuntimeService
  /** null: the router has no middlewares. */
  readonly chain: MiddlewareChain | null
  /** The request's path differs from the rule by a trailing slash: the client is redirected. */
  readonly redirects: boolean
  /**
   * Why every request gets 503: a middleware is missing or does not compile, or this version lacks a feature of the router or its
   * service. '' if it is served. Without this, a request could pass unguarded.
   */
  readonly unavailable: string
}
