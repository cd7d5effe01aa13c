// A breaker's state as members share it, one store entry per service: new state, cause and author. Validated on receipt.

import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { BreakerFigures } from '../../admin/admin-source.ts'
import type { Breaker } from '../../config/model.ts'

/** `closed` is never written: a recovery ends by itself. */
export interface BreakerRecord {
  /** Hash of the expression (hashOf); a record of another expression is ignored. */
  readonly of: string
  readonly state: 'open' | 'half-open' | 'recovering'
  /** Changes when the breaker opens or starts to recover. Counts of one epoch belong together. */
  readonly epoch: number
  /** Name of the member that changed the state; half-open: of the prober. */
  readonly by: string
  /** Id of that member. */
  readonly id: string
  /** Wall clock of that member, ms since 1970. */
  readonly at: number
  readonly because: BreakerFigures
  /** That member's own share of the figures (unpackCounts). */
  readonly own?: unknown
}

/** Time to live of a record, ms: longer than the longest open time (one hour), so that a new member receives it. */
export const RECORD_TTL_MS = 3 * 3_600_000

const EPOCHS = 2 ** 40

export function nextEpoch(epoch: number): number {
  return (epoch + 1) % EPOCHS
}

export function hashOf(breaker: Breaker): string {
  return createHash('sha256').update(JSON.stringify(breaker.when)).digest('hex').slice(0, 16)
}

/** null: malformed. */
export function parseRecord(text: string): BreakerRecord | null {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return null
  }
  const parsed = schema.safeParse(value)
  return parsed.success ? parsed.data : null
}

const ratio = z.number().min(0).max(1)
const ms = z.number().min(0).max(1e9)
const name = z.string().max(256)

const schema: z.ZodType<BreakerRecord> = z.object({
  of: z.string().max(64),
  state: z.enum(['open', 'half-open', 'recovering']),
  epoch: z
    .int()
    .min(0)
    .max(EPOCHS - 1),
  by: name,
  id: name,
  at: z
    .number()
    .min(0)
    .max(2 ** 53),
  because: z.object({
    requests: z.number().min(0).max(1e12),
    networkErrorRatio: ratio,
    errorRatio: ratio,
    latencyP50Ms: ms,
    latencyP99Ms: ms,
  }),
  own: z.unknown().optional(),
})

/** The figures as text for logs. */
export function describeFigures({ because }: BreakerRecord): string {
  const percent = (ratio: number) => `${Math.round(ratio * 100)} %`
  return (
    `${because.requests} requests, ${percent(because.networkErrorRatio)} network errors, ${percent(because.errorRatio)} 5xx, ` +
    `p50 ${Math.round(because.latencyP50Ms)} ms, p99 ${Math.round(because.latencyP99Ms)} ms`
  )
}
