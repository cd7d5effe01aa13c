// May this request go on, and where to: limits of its size, its route, its service's circuit breaker, the edits of its
// middlewares, the limit of requests at once. The same for every codec.

import type { DataPlaneOptions } from '../../options/options.ts'
import { slashLocation } from '../../rules/trailing-slash.ts'
import { IN_FLIGHT } from '../counters.ts'
import type { Exchange } from '../forward/exchange.ts'
import { hasDotSegment } from '../message/path-normalization.ts'
import type { WorkerContext } from '../worker-context.ts'

/** Where connections come in, and what is decided there for all of them. */
export interface Listener {
  /** Of the entry point. */
  readonly name: string
  readonly limits: DataPlaneOptions['limits']
  /** Path of the entry point's health answer; '': none. */
  readonly ping: string
  /** As `admit` below. */
  readonly admit: (context: WorkerContext, x: Exchange) => number
}

/** @returns 0, or the status to answer with (301, 308, 400, 404, 413, 429, 503); `x.req.problem` then says why */
export function admit(context: WorkerContext, x: Exchange): number {
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
  // A redirect needs no server; middlewares that guard the router come before it all the same.
  if (!route.redirects && service.breaker !== null && !service.breaker.admit(x, context.breakerEvents)) {
    req.problem = 'its circuit breaker is open'
    return 503
  }
  for (const middleware of route.middlewares) middleware.request?.(x)
  if (route.redirects) return redirectSlash(x)
  // A prefix taken off `/api../x` leaves one that the server would resolve.
  if (route.middlewares.length > 0 && x.path.includes('/.') && hasDotSegment(x.path)) {
    req.problem = 'the path has a dot segment once it is edited'
    return 400
  }
  if (service.limit === null || service.maxConnKey === null) return 0
  const key = service.maxConnKey(x)
  if (!service.limit.acquire(key)) {
    req.problem = `more than ${service.config.maxConn?.amount} requests at once`
    return 429
  }
  x.limit = service.limit
  x.maxConnKey = key
  return 0
}

/** 301 as Traefik v1 answers; methods that may have a body get 308, lest clients repeat them as GET without it. */
function redirectSlash(x: Exchange): number {
  x.location = slashLocation(x.receivedPath, x.query)
  x.req.problem = 'the path differs from that of the rule by a slash at its end'
  return x.method === 'GET' || x.method === 'HEAD' ? 301 : 308
}
