// What is kept of a request when it is over: counters, its line in the access log, the fields of a line about it in the log. The
// same for every codec.

import { IN_FLIGHT, RETRIES } from './counters.ts'
import type { Exchange } from './exchange.ts'
import type { WorkerContext } from './worker-context.ts'

/** Longest host or path in the log. */
const MAX_LOGGED = 256

/** Books a request as over, with the status that its client was given; gives back its place. Once: what is over stays so. */
export function book(context: WorkerContext, x: Exchange, status: number): void {
  if (!x.active) return
  x.active = false
  x.status = status
  const ms = performance.now() - x.startMs
  const slot = x.service?.slot ?? 0
  const { counters } = context
  if (x.service === null) counters.add(0, IN_FLIGHT, 1)
  counters.finished(slot, status, ms, x.bytesIn, x.bytesOut)
  if (x.attempts > 1) counters.add(slot, RETRIES, x.attempts - 1)
  if (x.limit !== null && x.maxConnKey !== null) x.limit.release(x.maxConnKey)
  x.limit = null
  if (context.options.accessLog) context.access(x, ms)
}

/** Who asked for what, for a line in the log. The request has an id from here. */
export function logFields(context: WorkerContext, x: Exchange, status: number): Record<string, string | number> {
  if (x.requestId === '') x.requestId = context.ids.next()
  return {
    status,
    requestId: x.requestId,
    client: x.clientAddress,
    method: x.method,
    host: x.authority.slice(0, MAX_LOGGED),
    path: x.receivedPath.slice(0, MAX_LOGGED),
    router: x.route?.router.name ?? '',
    service: x.service?.name ?? '',
  }
}
