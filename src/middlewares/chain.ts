// The compiled middlewares of one router, in order.

import type { CompiledMiddleware } from './middleware.ts'

export class MiddlewareChain {
  readonly all: readonly CompiledMiddleware[]
  /** Some middleware has response(). */
  readonly seesResponses: boolean

  constructor(all: readonly CompiledMiddleware[]) {
    this.all = all
    this.seesResponses = all.some(middleware => middleware.response !== undefined)
  }
}
