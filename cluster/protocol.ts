// Codec of the messages between members: JSON, bounded, and validated by one schema per message, because network input is
// untrusted. Unknown fields are dropped; known ones are within LIMITS. Pulled bodies do not pass through it
// (gossip/body-transfer.ts).

import { createHash } from 'node:crypto'
import { z } from 'zod'
import { CIDR, HOST_PORT, OPTION_NAME, UNPRINTABLE } from './core/clamp.ts'
import { type Envelope, LIMITS, type Message } from './core/state.ts'

export interface DecodeLimits {
  /** Name of the cluster; messages of other clusters are refused. */
  readonly cluster: string
  /** Bytes; the default is LIMITS.message. */
  readonly message?: number
}

export type Refusal = 'version' | 'cluster' | 'malformed' | 'large'

export type Decoded =
  | { readonly ok: true; readonly envelope: Envelope }
  /** `message` is safe to log: it contains no input except a name, shortened and made printable. */
  | { readonly ok: false; readonly reason: Refusal; readonly message: string }

/** Upper bound for numbers in messages: well below 2^53, so that sums stay exact. */
const MAX_NUMBER = 2 ** 48
const SHA256 = /^[0-9a-f]{64}$/
const unprintable = new RegExp(UNPRINTABLE.source, 'u')

const text = z
  .string()
  .max(LIMITS.text)
  .refine(value => !unprintable.test(value), 'contains control characters')
const id = text.min(1)
const count = z.int().min(0).max(MAX_NUMBER)
const hash = z.string().regex(SHA256)
const address = text.regex(HOST_PORT)

const term = z
  .object({ number: count, leader: text })
  .refine(value => value.number > 0 || value.leader === '', 'term 0 has no leader')
const revision = z.object({ term: count, leader: text, sequence: count })

const local = z.object({
  manager: text.nullable(),
  managerHealthy: z.boolean(),
  unreachable: z.array(text).max(LIMITS.unreachable),
  unreachableAll: z.boolean(),
  seen: z.array(text).max(LIMITS.seen),
  addresses: z.array(address).max(LIMITS.addresses),
  relay: z.array(address).max(LIMITS.addresses),
  options: z
    .record(z.string().regex(OPTION_NAME), text)
    .refine(all => Object.keys(all).length <= LIMITS.options, `at most ${LIMITS.options} options`)
    .optional(),
  networks: z.array(z.string().regex(CIDR)).max(LIMITS.networks).optional(),
  secretState: hash.optional(),
})

const message = z.discriminatedUnion('kind', [
  z
    .object({
      kind: z.literal('beat'),
      name: id,
      startedAt: count,
      version: text,
      role: z.enum(['leader', 'follower']),
      term,
      draining: z.boolean(),
      revision: revision.nullable(),
      hash: z.union([hash, z.literal('')]),
      nextMs: z.int().min(1).max(60_000),
      suspects: z.array(id).max(LIMITS.suspects),
      local,
    })
    .refine(heartbeat => (heartbeat.revision === null) === (heartbeat.hash === ''), 'revision and hash must be present together'),
  z
    .object({
      kind: z.literal('announce'),
      term,
      revision,
      hash,
      size: z.int().min(0).max(LIMITS.body),
      body: z.string().max(LIMITS.inlineBody).nullable(),
    })
    .refine(({ body, size }) => body === null || body.length === size, 'size does not match the body')
    .refine(({ body, hash }) => body === null || sha256(body) === hash, 'hash does not match the body'),
  z.object({
    kind: z.literal('vote?'),
    term: count,
    pre: z.boolean(),
    consent: z.boolean(),
    revision: revision.nullable(),
  }),
  z.object({ kind: z.literal('vote!'), term: count, pre: z.boolean(), granted: z.boolean(), known: term }),
  z.object({ kind: z.literal('handover'), term }),
  z.object({ kind: z.literal('hint'), keys: z.array(text).min(1).max(LIMITS.hint) }),
  z.object({ kind: z.literal('leave') }),
  z.object({ kind: z.literal('store'), data: z.base64().max(Math.ceil(LIMITS.store / 3) * 4) }),
]) satisfies z.ZodType<Message>

/** Readings of wall clocks: from 1970 on, at most a few thousand years off. */
const clock = z.object({ time: count, off: z.int().min(-MAX_NUMBER).max(MAX_NUMBER), agreed: z.boolean().optional() })
const rest = z.object({ n: count, clock: clock.optional(), message })

/** @throws RangeError when it is larger than LIMITS.message; messages of the core never are */
export function encode(envelope: Envelope): Uint8Array {
  const bytes = new TextEncoder().encode(JSON.stringify(envelope))
  if (bytes.length > LIMITS.message) {
    throw new RangeError(`a ${envelope.message.kind} message of ${bytes.length} bytes is too large (at most ${LIMITS.message})`)
  }
  return bytes
}

/** Decodes and validates one message. Never throws. */
export function decode(bytes: Uint8Array, limits: DecodeLimits): Decoded {
  const maxBytes = limits.message ?? LIMITS.message
  if (bytes.length > maxBytes) return refuse('large', `it has ${bytes.length} bytes, at most ${maxBytes} are allowed`)
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    return refuse('malformed', 'it is not JSON in UTF-8')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return refuse('malformed', 'it is not an object')
  const v = own(value, 'v')
  if (typeof v !== 'number' || !Number.isInteger(v)) return refuse('malformed', 'v: a whole number was expected')
  if (v !== 1) return refuse('version', `protocol version ${v} is not supported, only version 1 is`)
  const cluster = own(value, 'cluster')
  if (typeof cluster !== 'string') return refuse('malformed', 'cluster: a text was expected')
  if (cluster !== limits.cluster) {
    return refuse('cluster', `it belongs to cluster ${quoted(cluster)}, this one is ${quoted(limits.cluster)}`)
  }
  const checked = rest.safeParse(value)
  if (!checked.success) return refuse('malformed', issueOf(checked.error))
  return { ok: true, envelope: { v: 1, cluster, ...checked.data } }
}

function refuse(reason: Refusal, why: string): Decoded {
  return { ok: false, reason, message: why }
}

/** An own property, not one of the prototype. */
function own(value: object, key: string): unknown {
  return Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined
}

/** The first validation issue and its path. */
function issueOf(error: z.ZodError): string {
  const issue = error.issues[0]
  if (issue === undefined) return 'it does not match the schema'
  const path = issue.path.map(String).join('.')
  return fold(path === '' ? issue.message : `${path}: ${issue.message}`)
}

function quoted(name: string): string {
  return `"${fold(name.slice(0, 64))}"`
}

function fold(value: string): string {
  return value.slice(0, LIMITS.text).replace(UNPRINTABLE, '?')
}

function sha256(body: string): string {
  return createHash('sha256').update(body).digest('hex')
}
