// What a middleware is once compiled (design, section 3). Today all of them edit the request and nothing else; those that answer
// by themselves or wait (auth, rate limits, redirects) come in through `request` and `response` without a change to what runs
// them.

import type { RequestView } from '../proxy/message/request-view.ts'

/** Changes path and headers of a request in place, at once. */
export type RequestEdit = (x: RequestView) => void

/** An answer of the proxy's own instead of a server's. */
export interface LocalReply {
  readonly status: number
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: string
}

/** undefined: go on; an answer: send it now; a promise: wait for one of the two. The common path makes no promise. */
export type Verdict = undefined | LocalReply | Promise<undefined | LocalReply>

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
