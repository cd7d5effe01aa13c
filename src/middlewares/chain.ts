// The compiled middlewares of one router, in order.

import type { CompiledMiddleware } from './middleware.ts'

export class MiddlewareChain {
  readonly all: readonly CompiledMiddleware[]
  /** Some middleware has response(). */
  readonly seesResponses: boolean
  /** Some middleware has requestBody(), or responseBody(). */
  readonly filtersRequests: boolean
  readonly filtersResponses: boolean

  constructor(all: readonly CompiledMiddleware[]) {
    this.all = all
    this.seesResponses = all.some(middleware => middleware.response !== undefined)
    this.filtersRequests = all.some(middleware => middleware.requestBody !== undefined)
    this.filtersResponses = all.some(middleware => middleware.responseBody !== undefined)
  }
}
