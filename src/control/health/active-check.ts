// Active health checks: requests a path from every server of a service that has a health check, at a jittered interval, and reports
// each change of the result. Runs in the control thread, never in a data worker. As in Traefik v1, a server is healthy until a check
// fails, and 2xx and 3xx are healthy (https://doc.traefik.io/traefik/v1.7/configuration/backends/file/). Every check opens a new
// connection, so that a server that no longer accepts connections fails, and is bounded in time and bytes.

import type { Agent } from 'undici'
import type { HealthCheck, Server, Service } from '../../config/model.ts'
import { isUnreadableResponse, lenientStatus } from './lenient-check.ts'

/** The part of a pino logger that is used. */
export interface HealthLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

/** `unreachable`: the check failed because no connection could be opened. */
export type ReportHealth = (service: string, serverId: string, healthy: boolean, why: string, unreachable: boolean) => void

export interface HealthChecker {
  /** Applies a new configuration. An unchanged check keeps its result and its timer; a removed one ends. */
  apply(services: readonly Service[]): void
  /** Ends all timers and connections. */
  stop(): Promise<void>
}

/** Checks in flight at once; others are queued. */
const MAX_AT_ONCE = 128
const JITTER = 0.1
/** The same as the data workers' default connect timeout. */
const CONNECT_MS = 1000
/** The first check of a new server runs within this time (or its interval, if shorter), spread at random. */
const FIRST_WITHIN_MS = 1000
const MAX_BODY_BYTES = 64 * 1024
const MAX_HEADER_BYTES = 16 * 1024

const UNREACHABLE: ReadonlySet<string> = new Set(['ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'UND_ERR_CONNECT_TIMEOUT'])

interface Target {
  readonly service: string
  readonly server: Server
  readonly check: HealthCheck
  /** Everything that makes it a different check. */
  readonly spec: string
  healthy: boolean
  unreachable: boolean
  timer: NodeJS.Timeout | null
  abort: AbortController | null
  removed: boolean
}

/** `report` is called for changes only; `random` returns numbers from 0 up to 1, for the jitter. */
export function createHealthChecker(report: ReportHealth, log: HealthLog, random: () => number = Math.random): HealthChecker {
  const targets = new Map<string, Target>()
  const queue: Target[] = []
  let inFlight = 0
  let agent: Promise<Agent> | null = null

  function apply(services: readonly Service[]): void {
    const wanted = new Map<string, Target>()
    const present = new Set<string>()
    for (const service of services) {
      for (const server of service.servers) {
        const key = `${service.name}\0${server.id}`
        present.add(key)
        if (service.healthCheck !== null && server.state === 'active')
          wanted.set(key, newTarget(service.name, server, service.healthCheck))
      }
    }
    for (const [key, old] of targets) {
      const next = wanted.get(key)
      if (next !== undefined && next.spec === old.spec) continue
      remove(key, old)
      if (!old.healthy && present.has(key))
        setResult(old, true, next === undefined ? 'no longer checked' : 'the check has changed', false)
    }
    for (const [key, target] of wanted) {
      if (targets.has(key)) continue
      targets.set(key, target)
      schedule(target, random() * Math.min(FIRST_WITHIN_MS, target.check.intervalMs))
    }
  }

  function remove(key: string, target: Target): void {
    target.removed = true
    if (target.timer !== null) clearTimeout(target.timer)
    target.abort?.abort()
    targets.delete(key)
  }

  function schedule(target: Target, delayMs: number): void {
    target.timer = setTimeout(() => {
      target.timer = null
      if (inFlight >= MAX_AT_ONCE) queue.push(target)
      else void run(target)
    }, delayMs)
  }

  async function run(target: Target): Promise<void> {
    inFlight++
    target.abort = new AbortController()
    agent ??= createAgent()
    const failure = await sendCheck(await agent, target, target.abort)
    target.abort = null
    inFlight--
    if (!target.removed) {
      setResult(target, failure === null, failure?.why ?? 'answered', failure?.unreachable ?? false)
      schedule(target, target.check.intervalMs * (1 - JITTER + 2 * JITTER * random()))
    }
    startQueued()
  }

  function startQueued(): void {
    while (inFlight < MAX_AT_ONCE) {
      const next = queue.shift()
      if (next === undefined) return
      if (!next.removed) void run(next)
    }
  }

  function setResult(target: Target, healthy: boolean, why: string, unreachable: boolean): void {
    const changed = target.healthy !== healthy
    if (!changed && target.unreachable === unreachable) return
    target.healthy = healthy
    target.unreachable = unreachable
    report(target.service, target.server.id, healthy, why, unreachable)
    if (!changed) return
    const fields = { service: target.service, server: target.server.id, address: origin(target), path: target.check.path, why }
    if (healthy) log.info(fields, 'server is healthy again')
    else log.warn(fields, 'server failed its health check')
  }

  return {
    apply,
    async stop() {
      for (const [key, target] of [...targets]) remove(key, target)
      queue.length = 0
      await (await agent)?.destroy()
    },
  }
}

/**
 * undici takes 25 MB, so it is loaded with the first check. Certificates are not verified: a check connects to the server's address,
 * which certificates rarely name, and its result only decides whether the server gets requests.
 */
async function createAgent(): Promise<Agent> {
  const undici = await import('undici')
  return new undici.Agent({
    connections: 4,
    pipelining: 0,
    maxHeaderSize: MAX_HEADER_BYTES,
    allowH2: false,
    connect: { rejectUnauthorized: false, timeout: CONNECT_MS },
  })
}

function newTarget(service: string, server: Server, check: HealthCheck): Target {
  const spec = JSON.stringify([server.scheme, server.host, server.port, check])
  return { service, server, check, spec, healthy: true, unreachable: false, timer: null, abort: null, removed: false }
}

interface Failure {
  readonly why: string
  readonly unreachable: boolean
}

/** Sends one request; null if the server is healthy. Never throws. */
async function sendCheck(agent: Agent, { server, check, ...target }: Target, abort: AbortController): Promise<Failure | null> {
  const timeOut = (): void => abort.abort(new Error(`no answer within ${check.timeoutMs} ms`))
  // setImmediate: if this thread was blocked, an answer that has already arrived is processed first.
  const deadline = setTimeout(() => setImmediate(timeOut), check.timeoutMs)
  const headers: Record<string, string> = { 'user-agent': 'Skein health check' }
  for (const [name, value] of Object.entries(check.headers)) headers[name.toLowerCase()] = value
  if (check.hostname !== null) headers.host = check.hostname
  try {
    const { statusCode, body } = await agent.request({
      origin: origin({ server, check, ...target }),
      path: check.path,
      method: 'GET',
      headers,
      signal: abort.signal,
    })
    // Only the status matters. The body is read up to a limit and the deadline, so that the server can finish its answer.
    await body.dump({ limit: MAX_BODY_BYTES, signal: abort.signal }).catch(() => undefined)
    return failureOf(statusCode)
  } catch (error) {
    if (isUnreadableResponse(error)) {
      const scheme = check.scheme ?? server.scheme
      const request = { scheme, host: server.host, port: check.port ?? server.port, path: check.path, headers }
      const status = await lenientStatus(request, MAX_HEADER_BYTES, abort.signal).catch(() => 0)
      if (status !== 0) return failureOf(status)
    }
    return { why: reason(error), unreachable: isUnreachable(error) }
  } finally {
    clearTimeout(deadline)
  }
}

function failureOf(status: number): Failure | null {
  return status >= 200 && status < 400 ? null : { why: `answered ${status}`, unreachable: false }
}

function origin({ server, check }: Pick<Target, 'server' | 'check'>): string {
  const host = server.host.includes(':') ? `[${server.host}]` : server.host
  return `${check.scheme ?? server.scheme}://${host}:${check.port ?? server.port}`
}

/** No answer from the server's host, or an ICMP error of the network. */
function isUnreachable(error: unknown): boolean {
  const first = error instanceof AggregateError ? error.errors[0] : error
  return first instanceof Error && 'code' in first && UNREACHABLE.has(String(first.code))
}

function reason(error: unknown): string {
  if (error instanceof Error && error.name === 'HeadersOverflowError') return 'answered with too large a head'
  if (error instanceof AggregateError && error.errors[0] instanceof Error) return error.errors[0].message
  return error instanceof Error ? error.message : String(error)
}
