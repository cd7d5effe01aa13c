// Compiles a middleware and runs its request part, for tests. Not a test itself.

import type { Middleware } from '../../../src/config/model.ts'
import { MIDDLEWARES } from '../../../src/middlewares/registry.ts'
import type { RequestView } from '../../../src/proxy/message/request-view.ts'

/** @returns '' or the reason why the description does not compile */
export function apply(description: Middleware, x: RequestView): string {
  const compiled = MIDDLEWARES.compile(description)
  if (typeof compiled === 'string') return compiled
  compiled.request?.(x)
  return ''
}
