// Log lines about repaired response heads: one per server and minute, so that a faulty server does not fill the log.

import { logFields } from '../forward/accounting.ts'
import type { Exchange } from '../forward/exchange.ts'
import type { Head } from '../message/head.ts'
import type { WorkerContext } from '../worker-context.ts'
import { CONTROLS, describeRepairs } from './head-repair.ts'

/** Minimum interval between log lines about one server, ms. */
const INTERVAL_MS = 60_000

/** Logs the repairs of a response head, as a warning if bytes of a value were removed. */
export function logRepairs(context: WorkerContext, x: Exchange, head: Head): void {
  const { server } = x.attempt
  const nowMs = performance.now()
  if (server === null || nowMs < server.repairLogQuietUntilMs) return
  server.repairLogQuietUntilMs = nowMs + INTERVAL_MS
  const level = (head.repaired & CONTROLS) !== 0 ? 'warn' : 'info'
  const what = `${server.host}:${server.port} sent a malformed response, which was repaired (${describeRepairs(head.repaired)})`
  context.log(level, what, logFields(context, x, head.status))
}
