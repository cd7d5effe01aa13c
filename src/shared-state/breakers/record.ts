// A breaker's state as members share it: one entry of the store per service. Who changed it, when, why; checked as it comes in,
// for another member wrote it.

import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { BreakerFigures } from '../../admin/admin-source.ts'
import type { Breaker } from '../../config/model.ts'

/** `closed` is never written: a recovery that has gone well is over by itself. */
export interface BreakerRecord {
  /** Of the expression (markOf): a state found for another one says nothing. */
  readonly of: string
  readonly state: 'open' | 'half-open' | 'recovering'
  /** Changes whenever it opens or begins to recover: windows of one epoch belong together. */
  readonly epoch: number
  /** Name of the member that changed it; half-open: that probes. */
  readonly by: string
  /** Its id. */
  readonly id: string
  /** Its wall clock, ms since 1970. */
  readonly at: number
  readonly because: BreakerFigures
  /** That member's own part of these figures (unpackCounts); others may know more. */
  readonly own?: unknown
}

/** Life of a record, ms: longer than the longest open time (an hour), so that a member that comes late learns it. */
export const RECORD_TTL_MS = 3 * 3_600_000

const EPOCHS = 2 ** 40

export function nextEpoch(epoch: number): number {
  return (epoch + 1) % EPOCHS
}

export function markOf(breaker: Breaker): string {
  return createHash('sha256').update(JSON.stringify(breaker.when)).digest('hex').slice(0, 16)
}

/** null: it is none. */
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

/** Why it changed, for people. */
export function told({ because }: BreakerRecord): string {
  const percent = (ratio: number) => `${Math.round(ratio * 100)} %`
  return (
    `${because.requests} requests, ${percent(because.networkErrorRatio)} network errors, ${percent(because.errorRatio)} 5xx, ` +
    `p50 ${Math.round(because.latencyP50Ms)} ms, p99 ${Math.round(because.latencyP99Ms)} ms`
  )
}
