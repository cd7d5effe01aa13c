// Validates snapshots from outside this process: the file on disk and other members of the cluster. Sizes, counts and depth are
// bounded, so that no input can exhaust memory or the stack or break out of a request line or a header. The model is in model.ts;
// the compiler checks that both agree.

import { z } from 'zod'
import type { BreakerExpression, Matcher, Router, Service, Snapshot } from './model.ts'

export const LIMITS = {
  routers: 20_000,
  services: 20_000,
  middlewares: 20_000,
  serversPerService: 5_000,
  errors: 10_000,
  ruleBytes: 16_384,
  matcherDepth: 16,
  matcherParts: 1_024,
  breakerParts: 64,
  features: 64,
} as const

export type SnapshotResult = { readonly ok: true; readonly snapshot: Snapshot } | { readonly ok: false; readonly message: string }

/** Validates a parsed value (of JSON.parse or a structured clone). Unknown keys are dropped. */
export function parseSnapshot(value: unknown): SnapshotResult {
  // Depth is checked first: the schema of matchers is recursive.
  if (!hasMaxDepth(value, LIMITS.matcherDepth * 2 + 8)) return { ok: false, message: 'expected a snapshot nested less deeply' }
  const result = snapshot.safeParse(value)
  if (result.success) return { ok: true, snapshot: result.data }
  const [issue] = result.error.issues
  const where = issue === undefined || issue.path.length === 0 ? 'snapshot' : issue.path.map(String).join('.')
  return { ok: false, message: `${where.slice(0, 200)}: ${(issue?.message ?? 'not a snapshot').slice(0, 200)}` }
}

/** Validates one service of a snapshot; null if it is not valid. */
export function parseService(value: unknown): Service | null {
  return hasMaxDepth(value, LIMITS.matcherDepth * 2 + 6) ? (service.safeParse(value).data ?? null) : null
}

/** Validates one router of a snapshot; null if it is not valid. */
export function parseRouter(value: unknown): Router | null {
  return hasMaxDepth(value, LIMITS.matcherDepth * 2 + 6) ? (router.safeParse(value).data ?? null) : null
}

function hasMaxDepth(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return true
  if (depth === 0) return false
  for (const key in value) if (!hasMaxDepth((value as Record<string, unknown>)[key], depth - 1)) return false
  return true
}

const name = z
  .string()
  .min(1)
  .max(512)
  .refine(text => text !== '__proto__', 'not a name')
const text = z.string().max(2_048)
const pattern = z.string().max(1_024)
/** Visible ASCII: safe in a request line or a header line. */
const visible = z
  .string()
  .max(8_192)
  .regex(/^[\x21-\x7e]*$/, 'visible ASCII only')
const path = visible.startsWith('/', "a path that begins with '/'")
const token = z
  .string()
  .max(256)
  .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, 'a token')
const headerValue = z
  .string()
  .max(8_192)
  .regex(/^[\t\x20-\x7e\x80-\xff]*$/, 'a header value')
const port = z.int().min(1).max(65_535)
const milliseconds = z.int().min(1).max(86_400_000)
/** 0: no limit. */
const limitMs = z.int().min(0).max(86_400_000)
const scheme = z.enum(['http', 'https'])
const host = z
  .string()
  .min(1)
  .max(255)
  .regex(/^[0-9A-Za-z._:%-]+$/, 'an address or a DNS name')
const hostname = z
  .string()
  .min(1)
  .max(255)
  .regex(/^[0-9A-Za-z._:[\]-]+$/, 'a host name')

function list<T extends z.ZodType>(of: T) {
  return z.array(of).max(LIMITS.matcherParts)
}

function table<T extends z.ZodType<{ readonly name: string }>>(of: T, max: number) {
  return z
    .record(name, of)
    .refine(all => Object.keys(all).length <= max, `at most ${max} entries`)
    .refine(all => Object.entries(all).every(([key, entry]) => key === entry.name), 'keys that are the names of what they hold')
}

const matcher: z.ZodType<Matcher> = z.lazy(() =>
  z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('and'), of: list(matcher) }),
    z.object({ kind: z.literal('or'), of: list(matcher) }),
    z.object({ kind: z.literal('not'), of: matcher }),
    z.object({ kind: z.literal('host'), hosts: list(z.string().max(255)) }),
    z.object({ kind: z.literal('hostRegexp'), patterns: list(pattern) }),
    z.object({ kind: z.literal('path'), paths: list(text), slash: z.literal(true).optional() }),
    z.object({ kind: z.literal('pathPrefix'), prefixes: list(text) }),
    z.object({ kind: z.literal('pathRegexp'), patterns: list(pattern), slash: z.literal(true).optional() }),
    z.object({ kind: z.literal('method'), methods: list(token) }),
    z.object({ kind: z.literal('header'), name: token, value: text }),
    z.object({ kind: z.literal('headerRegexp'), name: token, pattern }),
    z.object({ kind: z.literal('query'), name: text, value: text.nullable() }),
    z.object({ kind: z.literal('queryRegexp'), name: text, pattern }),
  ]),
)

const features = z
  .array(z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'the name of a feature'))
  .max(LIMITS.features)
  .optional()

const router = z.object({
  name,
  entryPoints: z.array(name).max(64),
  rule: z.string().max(LIMITS.ruleBytes),
  matcher,
  priority: z.int(),
  service: name,
  middlewares: z.array(name).max(64),
  features,
  passHostHeader: z.boolean(),
  provider: name,
  source: text,
})

/** Its options and length are checked by control/route-check.ts: a newer version may have kinds that this one lacks. */
const middleware = z.looseObject({ kind: z.string().regex(/^[A-Za-z][A-Za-z0-9]{0,63}$/, 'the name of a middleware') })

const server = z.object({
  id: name,
  scheme,
  host,
  port,
  weight: z.int().min(0).max(1_000_000),
  state: z.enum(['active', 'draining']),
  node: text,
  owner: text.optional(),
})

const is = z.enum(['<', '<=', '>', '>=', '==', '!='])
const figure = z.number().min(0).max(1e9)
const code = z.int().min(0).max(1_000)
const breakerParts = z.lazy(() => z.array(breakerExpression).max(LIMITS.breakerParts))

const breakerExpression: z.ZodType<BreakerExpression> = z.lazy(() =>
  z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('and'), of: breakerParts }),
    z.object({ kind: z.literal('or'), of: breakerParts }),
    z.object({ kind: z.literal('not'), of: breakerExpression }),
    z.object({ kind: z.literal('networkErrorRatio'), is, value: figure }),
    z.object({ kind: z.literal('latencyAtQuantileMs'), quantile: z.number().min(0).max(100), is, value: figure }),
    z.object({
      kind: z.literal('responseCodeRatio'),
      from: code,
      to: code,
      ofFrom: code,
      ofTo: code,
      is,
      value: figure,
    }),
  ]),
)

const service = z.object({
  name,
  servers: z.array(server).max(LIMITS.serversPerService),
  balancer: z.enum(['wrr', 'drr', 'p2c', 'rendezvous']),
  sticky: z
    .object({ name: token, secure: z.boolean(), httpOnly: z.boolean(), sameSite: z.enum(['none', 'lax', 'strict']).nullable() })
    .nullable(),
  learn: z
    .object({
      from: z.enum(['cookie', 'header', 'query', 'ip']),
      name: visible.max(256),
      ttlMs: z
        .int()
        .min(1_000)
        .max(30 * 86_400_000),
      size: z.int().min(1).max(500_000),
      drain: z.enum(['move', 'keep']),
    })
    .nullable()
    .default(null),
  breaker: z
    .object({
      expression: z.string().max(1_024),
      when: breakerExpression,
      minRequests: z.int().min(1).max(1_000_000),
      openMs: milliseconds,
      recoveryMs: milliseconds,
    })
    .nullable()
    .default(null),
  outliers: z.object({ errors: z.int().min(0).max(1_000_000) }).default({ errors: 0 }),
  healthCheck: z
    .object({
      path,
      port: port.nullable(),
      scheme: scheme.nullable(),
      hostname: hostname.nullable(),
      intervalMs: milliseconds,
      timeoutMs: milliseconds,
      headers: z.record(token, headerValue),
    })
    .nullable(),
  maxConn: z.object({ amount: z.int().min(1).max(1_000_000_000), by: visible }).nullable(),
  outOfReach: z.boolean().optional(),
  timeouts: z
    .object({ responseHeaderMs: limitMs.nullable(), stallMs: limitMs.nullable() })
    .default({ responseHeaderMs: null, stallMs: null }),
  features,
  provider: name,
  source: text,
})

const configError = z.object({
  severity: z.enum(['error', 'warning']),
  provider: name,
  source: text,
  key: text,
  value: text,
  message: text,
})

/** Small enough that adding one always stays an exact integer. */
const count = z
  .int()
  .min(0)
  .max(2 ** 48)

const snapshot: z.ZodType<Snapshot> = z.object({
  revision: z.object({ term: count, leader: z.string().max(256).default(''), sequence: count }),
  hash: z.string().regex(/^[0-9a-f]{64}$/, 'a SHA-256 in hex'),
  routers: table(router, LIMITS.routers),
  services: table(service, LIMITS.services),
  middlewares: z.record(name, middleware).refine(all => Object.keys(all).length <= LIMITS.middlewares, 'fewer middlewares'),
  errors: z.array(configError).max(LIMITS.errors),
})
