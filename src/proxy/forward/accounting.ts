// What is kept of a request when it is over: counters, its line in the access log, the fields of a line about it in the log. The
// same for every codec.

import { ABORTED, FAILED, IN_FLIGHT, RELAY_FAILED, RELAYED_IN, RELAYED_OUT, RETRIES } from '../counters.ts'
import { CONTROLS, describeRepairs } from '../http1/head-repair.ts'
import type { Head } from '../message/head.ts'
import type { WorkerContext } from '../worker-context.ts'
import type { Exchange } from './exchange.ts'

/** Longest host or path in the log. */
const MAX_LOGGED = 256
/** Least time between two log lines about malformed answers of one server, ms. */
const MENDED_AGAIN_MS = 60_000

/** Books a request as over, with the status that its client was given; gives back its place. Once: what is over stays so. */
export function finish(context: WorkerContext, x: Exchange, status: number): void {
  if (!x.active) return
  x.active = false
  x.status = status
  const ms = performance.now() - x.startMs
  const slot = x.service?.slot ?? 0
  const { counters } = context
  if (x.fromPeer) {
    // Its client is another replica's, where it counts.
    if (x.sends > 0) counters.add(slot, RELAYED_IN, 1)
  } else {
    if (x.service === null) counters.add(0, IN_FLIGHT, 1)
    counters.finished(slot, status, ms, x.bytesIn, x.bytesOut)
    if (x.service !== null && x.service.breaker !== null) x.service.breaker.finished(x, status, ms, context.breakerEvents)
    if (x.attempts > 1) counters.add(slot, RETRIES, x.attempts - 1)
    if (x.relayPeer !== '' && x.sends > 0) counters.add(slot, RELAYED_OUT, 1)
  }
  if (x.limit !== null && x.maxConnKey !== null) x.limit.release(x.maxConnKey)
  x.limit = null
  if (context.options.accessLog) context.access(x, ms)
}

/** Its server has switched protocols; it is booked when the tunnel ends. */
export function noteSwitched(context: WorkerContext, x: Exchange): void {
  x.answered = true
  if (!x.fromPeer) x.service?.breaker?.switched(x, context.breakerEvents)
}

/** The answer will be the proxy's own 502, 503 or 504. */
export function noteFailed(context: WorkerContext, x: Exchange): void {
  x.failed = true
  if (x.fromPeer) return
  const slot = x.service?.slot ?? 0
  context.counters.add(slot, FAILED, 1)
  if (x.service?.relayed && x.sends === 0) context.counters.add(slot, RELAY_FAILED, 1)
}

/** The client went away. */
export function noteAborted(context: WorkerContext, x: Exchange): void {
  if (!x.fromPeer) context.counters.add(x.service?.slot ?? 0, ABORTED, 1)
}

/** Logs an answer whose faults were put right, once per server and minute: as a warning where a value lost bytes. */
export function noteRepaired(context: WorkerContext, x: Exchange, head: Head): void {
  const { server } = x
  const nowMs = performance.now()
  if (server === null || nowMs < server.repairLogQuietUntilMs) return
  server.repairLogQuietUntilMs = nowMs + MENDED_AGAIN_MS
  const level = (head.repaired & CONTROLS) !== 0 ? 'warn' : 'info'
  const what = `${server.host}:${server.port} gave a malformed answer, which was put right (${describeRepairs(head.repaired)})`
  context.log(level, what, logFields(context, x, head.status))
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
    server: x.server === null ? '' : `${x.server.host}:${x.server.port}`,
  }
}
