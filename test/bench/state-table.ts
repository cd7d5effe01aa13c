// The table of the bench of shared state: each figure with its target, and whether it is met. docs/benchmarks.md explains the figures.

import type { Judgement } from './cluster-table.ts'
import type { Figures } from './state-parts.ts'

/** Remarks on figures: their spread, or why one was not measured. */
export type Remarks = Partial<Record<keyof Figures, string>>

interface Target {
  readonly key: keyof Figures
  readonly what: string
  readonly limit: number
  readonly unit: 'us' | 'bytes' | 'ms'
}

export const TARGETS: readonly Target[] = [
  { key: 'stickyCookieUs', what: 'CPU per request added by cookie stickiness', limit: 1, unit: 'us' },
  { key: 'stickyLearnUs', what: 'CPU per request added by learned stickiness, 100,000 live sessions', limit: 1.5, unit: 'us' },
  { key: 'breakerUs', what: 'CPU per request added by a breaker', limit: 1, unit: 'us' },
  { key: 'memoryBytesPerSession', what: 'memory per learned session per worker', limit: 300, unit: 'bytes' },
  {
    key: 'gossipBytesPerSession',
    what: 'gossip per new learned session per replica, at 1,000 a second, 3 replicas',
    limit: 200,
    unit: 'bytes',
  },
  { key: 'sessionToAllMsP99Gossip', what: 'new session known on all replicas, gossip, p99', limit: 150, unit: 'ms' },
  { key: 'sessionToAllMsP99Redis', what: 'new session known on all replicas, Redis, p99', limit: 50, unit: 'ms' },
  { key: 'newcomerPullMs', what: 'newcomer pulls 100,000 sessions, slowest', limit: 2000, unit: 'ms' },
]

const DIGITS = { us: 2, bytes: 0, ms: 0 } as const

export function judge(figures: Figures, remarks: Remarks): Judgement[] {
  return TARGETS.map(({ key, what, limit, unit }) => {
    const value = figures[key]
    return {
      what,
      target: `${limit.toLocaleString('en-US')} ${unit}`,
      measured: value === null ? '-' : `${value.toFixed(DIGITS[unit])} ${unit}`,
      met: value === null ? null : value <= limit,
      remark: remarks[key] ?? '',
    }
  })
}
