// What is recorded of an exchange when it ends: counters, breaker, the access log line, and the fields of log lines about it.
// Independent of the codec.

import type { BreakerEvents } from '../breaker/service-breaker.ts'
import { ABORTED, FAILED, IN_FLIGHT, RELAY_FAILED, RELAYED_IN, RELAYED_OUT, RETRIES, type WorkerCounters } from '../counters.ts'
import type { RequestIds } from '../message/request-ids.ts'
import type { Exchange } from './exchange.ts'

/** Length limit of host and path in the log. */
const MAX_LOGGED = 256

/** What accounting needs of its data worker. */
export interface AccountingContext {
  readonly options: { readonly accessLog: boolean }
  readonly counters: WorkerCounters
  readonly ids: RequestIds
  readonly breakerEvents: BreakerEvents
  log(level: 'warn', message: string, fields: Record<string, string | number>): void
  /** Called for each finished request if the access log is enabled. */
  access(x: Exchange, ms: number): void
}

/**
 * Ends an exchange with the status that its client received, and releases its maxConn place and what is kept of its body. Further
 * calls have no effect.
 */
export function finish(context: AccountingContext, x: Exchange, status: number): void {
  if (!x.active) return
  x.active = false
  x.status = status
  x.cancelWait()
  // What was read while a middleware waited. A connection keeps its exchange for the next request.
  x.body.release()
  const nowMs = performance.now()
  const ms = nowMs - x.startMs
  const slot = x.service?.slot ?? 0
  const { counters } = context
  if (x.fromPeer) {
    // The replica that has the client counts it.
    if (x.attempt.sends > 0) counters.add(slot, RELAYED_IN, 1)
  } else {
    if (x.service === null) counters.add(0, IN_FLIGHT, 1)
    counters.finished(slot, status, ms, x.bytesIn, x.bytesOut)
    if (x.service !== null && x.service.breaker !== null)
      x.service.breaker.finished(x, status, nowMs - x.admittedMs, context.breakerEvents)
    if (x.attempt.count > 1) counters.add(slot, RETRIES, x.attempt.count - 1)
    if (x.attempt.relayPeer !== '' && x.attempt.sends > 0) counters.add(slot, RELAYED_OUT, 1)
  }
  if (x.limit !== null && x.maxConnKey !== null) x.limit.release(x.maxConnKey)
  x.limit = null
  if (x.cancelFailure !== '') {
    const why = `a middleware of router ${x.route?.router.name} failed to cancel its wait: ${x.cancelFailure}`
    context.log('warn', why, logFields(context, x, status))
  }
  if (context.options.accessLog) context.access(x, ms)
}

/** The server has switched protocols. finish() follows when the tunnel ends. */
export function noteSwitched(context: AccountingContext, x: Exchange): void {
  x.answered = true
  if (!x.fromPeer) x.service?.breaker?.switched(x, context.breakerEvents)
}

/** No response came from a server. A local reply with 502, 503 or 504 counts as failed; the 500 of a middleware does not. */
export function noteFailed(context: AccountingContext, x: Exchange): void {
  if (x.middlewareFailed) return
  x.failed = true
  if (x.fromPeer) return
  const slot = x.service?.slot ?? 0
  context.counters.add(slot, FAILED, 1)
  if (x.service?.relayed && x.attempt.sends === 0) context.counters.add(slot, RELAY_FAILED, 1)
}

/** The client closed the connection before the response was complete. */
export function noteAborted(context: AccountingContext, x: Exchange): void {
  if (!x.fromPeer) context.counters.add(x.service?.slot ?? 0, ABORTED, 1)
}

/** Fields that identify the request in a log line. Assigns the request id. */
export function logFields(context: AccountingContext, x: Exchange, status: number): Record<string, string | number> {
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
    server: x.attempt.server === null ? '' : `${x.attempt.server.host}:${x.attempt.server.port}`,
  }
}
