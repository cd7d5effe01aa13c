// Admission of a request: limits of its size, its route, its middlewares, the circuit breaker of its service, the limit of
// concurrent requests. The same for every codec.
// The middlewares run before the breaker and the limit, so that a request that a middleware answers (401, 429) uses neither the
// half-open probe nor a place. A middleware may wait; admission then goes on where it stopped, and a request that ends while it
// waits holds neither of them.

import type { MiddlewareChain } from '../../middlewares/chain.ts'
import { Wait } from '../../middlewares/wait.ts'
import type { DataPlaneOptions } from '../../options/options.ts'
import { slashLocation } from '../../rules/trailing-slash.ts'
import type { BreakerEvents } from '../breaker/service-breaker.ts'
import { IN_FLIGHT, type WorkerCounters } from '../counters.ts'
import type { Exchange } from '../forward/exchange.ts'
import type { MiddlewareReply } from '../message/local-reply.ts'
import { hasDotSegment } from '../message/path-normalization.ts'
import type { RuntimeService } from '../runtime-service.ts'
import type { CompiledRoute } from './compiled-route.ts'
import { editReply } from './response-views.ts'
import type { RouteTable } from './route-table.ts'

/** What admission needs of its data worker. */
export interface AdmissionContext {
  readonly options: DataPlaneOptions
  readonly runtime: {
    readonly routes: RouteTable<CompiledRoute>
    readonly services: ReadonlyMap<string, RuntimeService>
  }
  readonly counters: WorkerCounters
  readonly breakerEvents: BreakerEvents
}

/** An endpoint that accepts connections, and what applies to all of them. */
export interface Listener {
  /** Name of the entry point. */
  readonly name: string
  readonly limits: DataPlaneOptions['limits']
  /** Path of the entry point's health response; '': none. */
  readonly ping: string
  /** As `admit` below. */
  readonly admit: (context: AdmissionContext, x: Exchange) => number
}

/** Results of admission beside a status. */
export const ADMITTED = 0
/** A middleware waits: `x.downstream.onAdmission` follows, unless the request ends first. */
export const WAITING = -1

/**
 * @returns ADMITTED, WAITING, or the status to answer with: `x.req.problem` then says why, or `x.localReply` holds the reply of a
 * middleware
 */
export function admit(context: AdmissionContext, x: Exchange): number {
  const { req } = x
  const { bodyBytes } = context.options.limits
  if (bodyBytes > 0 && req.contentLength > bodyBytes) {
    req.problem = `Content-Length ${req.contentLength} is more than ${bodyBytes}`
    return 413
  }
  const route = context.runtime.routes.match(x)
  if (route === null) {
    req.problem = 'no router matches'
    return 404
  }
  const { service } = route
  x.route = route
  x.service = service
  x.serverHost = !route.router.passHostHeader
  context.counters.add(service.slot, IN_FLIGHT, 1)
  if (route.unavailable !== '') {
    req.problem = `router ${route.router.name} cannot be served: ${route.unavailable}`
    return 503
  }
  if (route.chain !== null) {
    const status = runMiddlewares(context, x, route.chain, 0)
    if (status !== ADMITTED) return status
  }
  return admitToService(context, x)
}

/** Runs the middlewares from `index` on. */
function runMiddlewares(context: AdmissionContext, x: Exchange, chain: MiddlewareChain, index: number): number {
  const { all } = chain
  let i = index
  try {
    for (; i < all.length; i++) {
      const verdict = all[i]!.request?.(x)
      if (verdict === undefined) continue
      const reply = verdict instanceof Wait ? (verdict.pending ? null : verdict.reply) : verdict
      if (reply !== null) return useReply(chain, i, x, reply)
      if (verdict instanceof Wait && verdict.pending) {
        awaitVerdict(context, x, chain, i, verdict)
        return WAITING
      }
    }
  } catch (error) {
    return middlewareFailed(x, error as Error)
  }
  return ADMITTED
}

/** Answers with the reply of the middleware at `index`. */
function useReply(chain: MiddlewareChain, index: number, x: Exchange, reply: MiddlewareReply): number {
  try {
    x.localReply = editReply(chain, index, x, reply)
  } catch (error) {
    return middlewareFailed(x, error as Error)
  }
  return reply.status
}

function middlewareFailed(x: Exchange, error: Error): number {
  x.req.problem = `a middleware of router ${x.route!.router.name} failed: ${error.message}`
  return 500
}

function awaitVerdict(context: AdmissionContext, x: Exchange, chain: MiddlewareChain, index: number, wait: Wait): void {
  x.wait = wait
  wait.onResume = () => {
    // A wait that belongs to an earlier request of the connection was cancelled with it.
    if (x.wait !== wait) return
    x.wait = null
    x.admittedMs = performance.now()
    const { reply } = wait
    let status = reply === null ? runMiddlewares(context, x, chain, index + 1) : useReply(chain, index, x, reply)
    if (status === ADMITTED) status = admitToService(context, x)
    if (status !== WAITING) x.downstream.onAdmission(x, status)
  }
}

/** After the middlewares: redirect, circuit breaker, limit of concurrent requests. */
function admitToService(context: AdmissionContext, x: Exchange): number {
  const { req } = x
  const route = x.route!
  const service = x.service!
  if (route.redirects) return redirectSlash(x)
  // Removing the prefix `/api` from `/api../x` leaves a path that the server would resolve.
  if (route.chain !== null && x.path.includes('/.') && hasDotSegment(x.path)) {
    req.problem = 'the path has a dot segment once it is edited'
    return 400
  }
  if (service.breaker !== null && !service.breaker.admit(x, context.breakerEvents)) {
    req.problem = 'its circuit breaker is open'
    return 503
  }
  if (service.limit === null || service.maxConnKey === null) return ADMITTED
  const key = service.maxConnKey(x)
  if (!service.limit.acquire(key)) {
    req.problem = `more than ${service.config.maxConn?.amount} requests at once`
    return 429
  }
  x.limit = service.limit
  x.maxConnKey = key
  return ADMITTED
}

/** 301 as in Traefik v1; 308 for methods that may have a body, because clients repeat them as GET after a 301. */
function redirectSlash(x: Exchange): number {
  x.location = slashLocation(x.receivedPath, x.query)
  x.req.problem = 'the path differs from that of the rule by a slash at its end'
  return x.method === 'GET' || x.method === 'HEAD' ? 301 : 308
}
