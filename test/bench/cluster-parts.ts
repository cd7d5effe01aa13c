// The parts of the cluster bench, their figures, and shared arithmetic.

export const PARTS = ['crash', 'hang', 'config', 'join', 'idle', 'snapshot', 'requests'] as const
export type Part = (typeof PARTS)[number]

/** The last line of `--json`; null: not measured in this run. */
export interface Figures {
  leaderCrashMsP99: number | null
  leaderHangMsP99: number | null
  configToAllMsP99: number | null
  /** The slowest of the runs. */
  joinMs: number | null
  /** CPU at rest in percent of one core per replica, by number of members. */
  idleCpuPercent: Record<string, number> | null
  /** The slowest of the runs. */
  snapshotToAllMs: number | null
  cpuUsPerRequestOff: number | null
  cpuUsPerRequestOn: number | null
  /** Both replicas together. */
  cpuUsPerRelayedRequest: number | null
}

/** Called after each run, with all values so far. */
export type Progress = (what: string, run: number, runs: number, values: readonly number[]) => void

/** Percentile by nearest rank; throws for an empty list. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const value = sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)]
  if (value === undefined) throw new Error('nothing was measured')
  return value
}

export function median(values: readonly number[]): number {
  return percentile(values, 50)
}

/** Largest minus smallest. */
export function range(values: readonly number[]): number {
  return Math.max(...values) - Math.min(...values)
}

/** `median 212, p99 301, largest 310, 100 runs`, in whole milliseconds. */
export function summaryText(values: readonly number[]): string {
  const whole = (value: number): string => value.toFixed(0)
  const runs = `${values.length} run${values.length === 1 ? '' : 's'}`
  return `median ${whole(median(values))}, p99 ${whole(percentile(values, 99))}, largest ${whole(Math.max(...values))}, ${runs}`
}
