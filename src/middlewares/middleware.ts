// What a middleware is: a description in the configuration, compiled once per router, called for every request of that router.
// Requests pass the chain in order, responses in reverse order. Calls are synchronous and allocate nothing of their own; a
// middleware that depends on something else (a rate limiter, an authentication server) returns a Wait.

import type { z } from 'zod'
import type { Middleware } from '../config/model.ts'
import type { MiddlewareReply } from '../proxy/message/local-reply.ts'
import type { RequestView } from '../proxy/message/request-view.ts'
import type { ResponseView } from '../proxy/message/response-view.ts'
import type { BodySink } from './body-sink.ts'
import type { Wait } from './wait.ts'

/** undefined: continue; a reply: send it instead of a server's response; a wait: continue or reply later. */
export type Verdict = undefined | MiddlewareReply | Wait

export interface CompiledMiddleware {
  /** Sees, and may edit, a request before its server is chosen. */
  request?(x: RequestView): Verdict
  /** Sees, and may edit, a final response head, of a server or of a later middleware. Not called for 1xx other than 101. */
  response?(x: RequestView, response: ResponseView): void
  /**
   * A sink in front of `next` that gets the request's content; undefined: the content is passed unchanged. Called once per request
   * with a body, before it is sent. Retries send the result again without another call.
   */
  requestBody?(x: RequestView, next: BodySink): BodySink | undefined
  /** The same for the content of a final response. Also called for HEAD, because the length may change. */
  responseBody?(x: RequestView, response: ResponseView, next: BodySink): BodySink | undefined
  /** Called when no router has the middleware any more. Requests in flight may still use it. */
  close?(): void
}

/** Changes path and headers of a request in place. */
export type RequestEdit = (x: RequestView) => void

/** A middleware that only edits requests, with `edit`. */
export function fromEdit(edit: RequestEdit): CompiledMiddleware {
  return {
    request(x) {
      edit(x)
      return undefined
    },
  }
}

/** One kind of middleware: everything that the rest of Skein needs to know of it. */
export interface MiddlewareKind<D extends { readonly kind: string } = Middleware> {
  readonly kind: D['kind']
  /**
   * The feature that a router with this middleware needs, so that replicas of older versions refuse the router instead of
   * serving it without the middleware. null: every version since 0.1 has the middleware.
   */
  readonly feature: string | null
  /** The schema of its description. The library is passed in: data workers compile descriptions and do not load it. */
  schema(zod: typeof z): z.ZodType<D>
  /** Compiles a description that the schema accepts. @returns the middleware, or the reason why there is none */
  compile(description: D): CompiledMiddleware | string
}

/** A kind as the registry holds it. The registry calls it with descriptions of this kind only. */
export function defineMiddleware<D extends { readonly kind: string }>(kind: MiddlewareKind<D>): MiddlewareKind {
  return kind as unknown as MiddlewareKind
}
