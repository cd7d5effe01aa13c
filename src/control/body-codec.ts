// Encodes what the leader replicates as text: the configuration, and the data that its providers share beside it (`shared`:
// managers, the nodes' own addresses). To the cluster the text is opaque; received text is validated here before use. Pure.

import { canonicalJson, hashOf } from '../config/merge.ts'
import type { DynamicConfig, Revision, Snapshot } from '../config/model.ts'
import { parseSnapshot } from '../config/schema.ts'
import { MIDDLEWARES, type MiddlewareRegistry } from '../middlewares/registry.ts'
import { decodeNewerParts, encodeNewerParts } from './newer-parts.ts'

export interface Body {
  readonly snapshot: Snapshot
  /** By provider name; each provider validates its own part. */
  readonly shared: Readonly<Record<string, unknown>>
}

const NO_REVISION: Revision = { term: 0, leader: '', sequence: 0 }

/** Providers that may have a part in `shared`. */
const MAX_PROVIDERS = 16

/**
 * The highest priority that members of version 0.1 accept. With a higher one they would refuse the whole body during a rolling
 * update of Skein, so it is sent in the field `exactPriority`, which they ignore.
 */
const MAX_OLD_PRIORITY = 1_000_000_000

/** Equal content gives equal text on every member. */
export function encodeBody(
  config: DynamicConfig,
  shared: Readonly<Record<string, unknown>>,
  registry: MiddlewareRegistry = MIDDLEWARES,
): string {
  const { routers: all, ...parts } = encodeNewerParts(config, registry)
  const routers = Object.fromEntries(
    Object.entries(all).map(([name, router]) => [
      name,
      router.priority > MAX_OLD_PRIORITY ? { ...router, priority: MAX_OLD_PRIORITY, exactPriority: router.priority } : router,
    ]),
  )
  return canonicalJson({ config: { ...parts, routers, errors: config.errors }, shared })
}

/** @returns the body with its snapshot at `revision`, or the reason why the text is not a body */
export function decodeBody(text: string, revision: Revision = NO_REVISION): Body | string {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    return `not JSON: ${(error as Error).message}`
  }
  if (!isRecord(value) || !isRecord(value.config)) return 'expected an object with `config`'
  const config = decodeNewerParts(value.config)
  const routers = withExactPriorities(config.routers)
  const parsed = parseSnapshot({ ...config, routers, revision, hash: '0'.repeat(64) })
  if (!parsed.ok) return parsed.message
  const shared = sharedOf(value)
  return typeof shared === 'string' ? shared : { snapshot: { ...parsed.snapshot, hash: hashOf(parsed.snapshot) }, shared }
}

function withExactPriorities(routers: unknown): unknown {
  if (!isRecord(routers)) return routers
  const exact = Object.entries(routers).map(([name, router]) =>
    isRecord(router) && router.exactPriority !== undefined
      ? [name, { ...router, priority: router.exactPriority }]
      : [name, router],
  )
  return Object.fromEntries(exact)
}

/** The field `shared` of a received or stored value; an absent field is an empty record. */
export function sharedOf(value: unknown): Readonly<Record<string, unknown>> | string {
  const shared = isRecord(value) ? value.shared : undefined
  if (shared === undefined) return {}
  if (!isRecord(shared)) return 'shared: expected an object'
  return Object.keys(shared).length <= MAX_PROVIDERS ? shared : `shared: expected at most ${MAX_PROVIDERS} providers`
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
