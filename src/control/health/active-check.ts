// Active health checks: asks every server of a service that wants it for a path, at a jittered interval, and reports when the
// verdict changes. Runs in the control thread, never in a data worker. A server counts as healthy until a check has said
// otherwise, as in Traefik v1; 2xx and 3xx are healthy. Every check is a fresh connection, so that a server that no longer
// accepts is found out, and bounded in time and bytes. Spec: Traefik 1.7, "Health check"; design, section 8.

import type { Agent } from 'undici'
import type { HealthCheck, Server, Service } from '../../config/model.ts'
import { isUnreadableResponse, lenientStatus } from './lenient-check.ts'

/** What pino's loggers have. */
export interface HealthLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

/** `unreachable`: not healthy because it could not even be connected to. */
export type HealthReport = (service: string, serverId: string, healthy: boolean, why: string, unreachable: boolean) => void

export interface HealthChecker {
  /** Takes over a new configuration: what is unchanged keeps its verdict and its rhythm, what is gone is no longer asked. */
  apply(services: readonly Service[]): void
  /** Ends all timers and connections. */
  stop(): Promise<void>
}

/** Checks under way at once; the others wait their turn. */
const MAX_AT_ONCE = 128
const JITTER = 0.1
/** As long as data workers give a connect. */
const CONNECT_MS = 1000
/**
 * The first check of a new server comes within this (or its interval, if shorter), spread so that a hundred do not come together.
 */
const FIRST_WITHIN_MS = 1000
const MAX_BODY_BYTES = 64 * 1024
const MAX_HEADER_BYTES = 16 * 1024

const UNREACHABLE: ReadonlySet<string> = new Set(['ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'UND_ERR_CONNECT_TIMEOUT'])

interface Target {
  readonly service: string
  readonly server: Server
  readonly check: HealthCheck
  /** Everything that makes it another check when it changes. */
  readonly spec: string
  healthy: boolean
  unreachable: boolean
  timer: NodeJS.Timeout | null
  abort: AbortController | null
  removed: boolean
}

/** `report` hears of changes only; `random` gives numbers from 0 up to 1, for the jitter. */
export function createHealthChecker(report: HealthReport, log: HealthLog, random: () => number = Math.random): HealthChecker {
  const targets = new Map<string, Target>()
  const waiting: Target[] = []
  let underWay = 0
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
        settle(old, true, next === undefined ? 'no longer checked' : 'the check has changed', false)
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
      if (underWay >= MAX_AT_ONCE) waiting.push(target)
      else void run(target)
    }, delayMs)
  }

  async function run(target: Target): Promise<void> {
    underWay++
    target.abort = new AbortController()
    agent ??= createAgent()
    const bad = await ask(await agent, target, target.abort)
    target.abort = null
    underWay--
    if (!target.removed) {
      settle(target, bad === null, bad?.why ?? 'answered', bad?.unreachable ?? false)
      schedule(target, target.check.intervalMs * (1 - JITTER + 2 * JITTER * random()))
    }
    startWaiting()
  }

  function startWaiting(): void {
    while (underWay < MAX_AT_ONCE) {
      const next = waiting.shift()
      if (next === undefined) return
      if (!next.removed) void run(next)
    }
  }

  function settle(target: Target, healthy: boolean, why: string, unreachable: boolean): void {
    const turned = target.healthy !== healthy
    if (!turned && target.unreachable === unreachable) return
    target.healthy = healthy
    target.unreachable = unreachable
    report(target.service, target.server.id, healthy, why, unreachable)
    if (!turned) return
    const fields = { service: target.service, server: target.server.id, address: origin(target), path: target.check.path, why }
    if (healthy) log.info(fields, 'server is healthy again')
    else log.warn(fields, 'server failed its health check')
  }

  return {
    apply,
    async stop() {
      for (const [key, target] of [...targets]) remove(key, target)
      waiting.length = 0
      await (await agent)?.destroy()
    },
  }
}

/**
 * undici is loaded with the first check, since it takes 25 MB and most replicas check nothing. Certificates are not verified: a
 * server is asked by its address, which certificates seldom name, and the answer decides only whether it gets requests.
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

interface Bad {
  readonly why: string
  readonly unreachable: boolean
}

/** Asks once: null if the server is healthy, else why not. Never throws. */
async function ask(agent: Agent, { server, check, ...target }: Target, abort: AbortController): Promise<Bad | null> {
  const giveUp = (): void => abort.abort(new Error(`no answer within ${check.timeoutMs} ms`))
  // An answer that came while this thread was busy elsewhere must be seen first.
  const deadline = setTimeout(() => setImmediate(giveUp), check.timeoutMs)
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
    // The verdict is in the status; the body is read only to be polite, so far and until the deadline.
    await body.dump({ limit: MAX_BODY_BYTES, signal: abort.signal }).catch(() => undefined)
    return verdict(statusCode)
  } catch (error) {
    if (isUnreadableResponse(error)) {
      const scheme = check.scheme ?? server.scheme
      const request = { scheme, host: server.host, port: check.port ?? server.port, path: check.path, headers }
      const status = await lenientStatus(request, MAX_HEADER_BYTES, abort.signal).catch(() => 0)
      if (status !== 0) return verdict(status)
    }
    return { why: reason(error), unreachable: isUnreachable(error) }
  } finally {
    clearTimeout(deadline)
  }
}

function verdict(status: number): Bad | null {
  return status >= 200 && status < 400 ? null : { why: `answered ${status}`, unreachable: false }
}

function origin({ server, check }: Pick<Target, 'server' | 'check'>): string {
  const host = server.host.includes(':') ? `[${server.host}]` : server.host
  return `${check.scheme ?? server.scheme}://${host}:${check.port ?? server.port}`
}

/** No word from the server's host, or one from the network that there is no way to it. */
function isUnreachable(error: unknown): boolean {
  const first = error instanceof AggregateError ? error.errors[0] : error
  return first instanceof Error && 'code' in first && UNREACHABLE.has(String(first.code))
}

function reason(error: unknown): string {
  if (error instanceof Error && error.name === 'HeadersOverflowError') return 'answered with too large a head'
  if (error instanceof AggregateError && error.errors[0] instanceof Error) return error.errors[0].message
  return error instanceof Error ? error.message : String(error)
}
