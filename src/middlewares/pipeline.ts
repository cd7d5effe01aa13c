// What a middleware is once compiled, and how a router's middlewares become one list (design, section 3). Today all of them edit the request
// and nothing else; those that answer by themselves or wait (auth, rate limits, redirects) come in through `request` and `response`.

import type { Middleware, Router } from '../config/model.ts'
import type { RequestView } from '../proxy/request-view.ts'
import { compileMiddleware } from './compile.ts'

/** Changes path and headers of a request in place, at once. */
export type RequestEdit = (x: RequestView) => void

/** An answer of the proxy's own instead of a server's. */
export interface OwnAnswer {
  readonly status: number
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: string
}

/** undefined: go on; an answer: send it now; a promise: wait for one of the two. The common path makes no promise. */
export type Verdict = undefined | OwnAnswer | Promise<undefined | OwnAnswer>

/** The general form. `X` is what the middleware may see: a request, or later a whole exchange with its response head. */
export interface CompiledMiddleware<X extends RequestView = RequestView> {
  request?(x: X): Verdict
  response?(x: X): void
}

/** A request edit in the general form. */
export function fromEdit(edit: RequestEdit): CompiledMiddleware {
  return {
    request(x) {
      edit(x)
      return undefined
    },
  }
}

/** A router's middlewares as one edit, in order; null when there is nothing to do. Middlewares that the table does not know are left out. */
export function compileEdits(router: Router, middlewares: Readonly<Record<string, Middleware>>): RequestEdit | null {
  const edits: RequestEdit[] = []
  for (const name of router.middlewares) {
    const middleware = Object.hasOwn(middlewares, name) ? middlewares[name] : undefined
    if (middleware !== undefined) edits.push(compileMiddleware(middleware))
  }
  const [first] = edits
  if (first === undefined) return null
  if (edits.length === 1) return first
  return x => {
    for (let i = 0; i < edits.length; i++) edits[i]!(x)
  }
}
