// Reads the `traefik.backend.*` labels: how a service's servers are balanced, checked and limited. Defaults as in Traefik 1.7
// (provider/label/partial.go, server/cookie/cookie.go): wrr, no stickiness, a check every 30 s, limits counted by request host.

import { createHash } from 'node:crypto'
import type {
  BalancerMethod,
  Breaker,
  HealthCheck,
  LearnedSessions,
  MaxConn,
  Outliers,
  ServiceTimeouts,
  StickyCookie,
} from '../../config/model.ts'
import { hostLiteral, pathLiteral } from '../../rules/literals.ts'
import { readBreaker } from '../shared/breaker.ts'
import { readLearned } from '../shared/learned-sessions.ts'
import { readOutliers } from '../shared/outliers.ts'
import { readTimeouts } from '../shared/timeouts.ts'
import { parseDurationMs, parseHeaders, TOKEN } from '../shared/values.ts'
import type { Labels } from './label-names.ts'

export interface BackendSettings {
  readonly balancer: BalancerMethod
  readonly sticky: StickyCookie | null
  readonly learn: LearnedSessions | null
  readonly breaker: Breaker | null
  readonly outliers: Outliers
  readonly healthCheck: HealthCheck | null
  readonly maxConn: MaxConn | null
  readonly timeouts: ServiceTimeouts
}

const DEFAULT_INTERVAL_MS = 30_000
const DEFAULT_TIMEOUT_MS = 5_000
const METHODS: readonly BalancerMethod[] = ['wrr', 'drr', 'p2c', 'rendezvous']

/**
 * Reads all of them. A wrong value is reported and replaced by its default. `name`: the service, for the default name of the
 * cookie.
 */
export function readBackend(labels: Labels, name: string): BackendSettings {
  return {
    balancer: readMethod(labels),
    sticky: readSticky(labels, name),
    learn: readLearned(labels),
    breaker: readBreaker(labels, 'backend.circuitbreaker.expression'),
    outliers: readOutliers(labels),
    healthCheck: readHealthCheck(labels),
    maxConn: readMaxConn(labels),
    timeouts: readTimeouts(labels),
  }
}

function readMethod(labels: Labels): BalancerMethod {
  const text = labels.text('backend.loadbalancer.method')
  if (text === null) return 'wrr'
  const method = METHODS.find(m => m === text.toLowerCase())
  if (method === undefined) labels.wrong('backend.loadbalancer.method', 'wrr, drr, p2c or rendezvous', 'wrr is used')
  return method ?? 'wrr'
}

function readSticky(labels: Labels, service: string): StickyCookie | null {
  const enabled = labels.bool('backend.loadbalancer.stickiness', false)
  if (!enabled) {
    // The older label, whose cookie has a fixed name.
    if (!labels.bool('backend.loadbalancer.sticky', false)) return null
    return { name: '_TRAEFIK_BACKEND', secure: false, httpOnly: false, sameSite: null }
  }
  const secure = labels.bool('backend.loadbalancer.stickiness.secure', false)
  const sameSite = readSameSite(labels)
  if (sameSite === 'none' && !secure) {
    const key = labels.key('backend.loadbalancer.stickiness.sameSite')
    labels.report.warn(key, 'none', 'expected stickiness.secure=true with it: browsers refuse such a cookie otherwise')
  }
  return {
    name: readCookieName(labels, service),
    secure,
    httpOnly: labels.bool('backend.loadbalancer.stickiness.httpOnly', false),
    sameSite,
  }
}

function readCookieName(labels: Labels, service: string): string {
  const text = labels.text('backend.loadbalancer.stickiness.cookieName')
  if (text !== null && text.length <= 128) return text.replace(/[^!#$%&'*+.^`|~0-9A-Za-z-]/g, '_')
  if (text !== null)
    labels.wrong('backend.loadbalancer.stickiness.cookieName', 'at most 128 characters', 'a generated name is used')
  return `_${createHash('sha1').update(`_TRAEFIK_BACKEND_${service}`).digest('hex').slice(0, 5)}`
}

function readSameSite(labels: Labels): StickyCookie['sameSite'] {
  const text = labels.text('backend.loadbalancer.stickiness.sameSite')?.toLowerCase() ?? null
  if (text === null || text === 'none' || text === 'lax' || text === 'strict') return text
  labels.wrong('backend.loadbalancer.stickiness.sameSite', 'none, lax or strict', 'the attribute is left out')
  return null
}

function readHealthCheck(labels: Labels): HealthCheck | null {
  const written = labels.text('backend.healthcheck.path')
  if (written === null) return null
  const path = healthPath(labels, written)
  if (path.length > 4_096 || written.includes('://')) {
    labels.wrong('backend.healthcheck.path', 'a path of at most 4096 characters', 'there is no health check')
    return null
  }
  return {
    path,
    port: labels.integer('backend.healthcheck.port', 0, 65_535, null, "the server's is used") || null,
    scheme: readScheme(labels),
    hostname: readHostname(labels),
    intervalMs: duration(labels, 'backend.healthcheck.interval', DEFAULT_INTERVAL_MS),
    timeoutMs: duration(labels, 'backend.healthcheck.timeout', DEFAULT_TIMEOUT_MS),
    headers: readHeaders(labels),
  }
}

/** The path of a check, which may have a query. A fragment is never sent to a server, so it is dropped. */
function healthPath(labels: Labels, text: string): string {
  const hash = text.indexOf('#')
  const written = hash < 0 ? text : text.slice(0, hash)
  if (hash >= 0) {
    const message = `expected a path without a fragment: a fragment is never sent; '${written || '/'}' is requested`
    labels.report.warn(labels.key('backend.healthcheck.path'), text, message)
  }
  const question = written.indexOf('?')
  const path = question < 0 ? written : written.slice(0, question)
  const query = question < 0 ? '' : `?${pathLiteral(written.slice(question + 1))}`
  return `${path.startsWith('/') ? '' : '/'}${pathLiteral(path)}${query}`
}

function readScheme(labels: Labels): HealthCheck['scheme'] {
  const text = labels.text('backend.healthcheck.scheme')
  if (text === null || text === 'http' || text === 'https') return text
  labels.wrong('backend.healthcheck.scheme', 'http or https', "the server's is used")
  return null
}

function readHostname(labels: Labels): string | null {
  const text = labels.text('backend.healthcheck.hostname')
  if (text === null) return null
  const host = hostLiteral(text.replace(/:[0-9]+$/, ''))
  if (host.ok) return host.text
  labels.wrong('backend.healthcheck.hostname', 'a host name', "the server's address is used")
  return null
}

function duration(
  labels: Labels,
  name: 'backend.healthcheck.interval' | 'backend.healthcheck.timeout',
  fallback: number,
): number {
  const text = labels.text(name)
  if (text === null) return fallback
  const ms = parseDurationMs(text, 100, 86_400_000)
  if (ms === null) labels.wrong(name, 'a duration such as 10s, from 100ms to 24h', `${fallback / 1_000}s is used`)
  return ms ?? fallback
}

function readHeaders(labels: Labels): Record<string, string> {
  const text = labels.text('backend.healthcheck.headers')
  if (text === null) return {}
  const { headers, wrong } = parseHeaders(text)
  if (wrong.length > 0) {
    const consequence = Object.keys(headers).length === 0 ? 'no header is sent' : 'the other headers are sent'
    labels.wrong('backend.healthcheck.headers', 'Name:value||Other-Name:value', consequence)
  }
  return headers
}

function readMaxConn(labels: Labels): MaxConn | null {
  const amount = labels.integer('backend.maxconn.amount', 0, 1_000_000_000, null, 'there is no limit')
  const by = labels.text('backend.maxconn.extractorfunc') ?? 'request.host'
  if (amount === null) {
    if (labels.text('backend.maxconn.extractorfunc') !== null && labels.text('backend.maxconn.amount') === null) {
      labels.report.warn(
        labels.key('backend.maxconn.extractorfunc'),
        by,
        'expected backend.maxconn.amount with it; there is no limit',
      )
    }
    return null
  }
  if (amount === 0) return null
  const header = /^request\.header\.(.+)$/.exec(by)?.[1]
  if (by === 'client.ip' || by === 'request.host' || (header !== undefined && TOKEN.test(header))) return { amount, by }
  labels.wrong('backend.maxconn.extractorfunc', 'client.ip, request.host or request.header.NAME', 'there is no limit')
  return null
}
