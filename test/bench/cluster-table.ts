// The table of the cluster bench: each figure with its target, and whether it is met. docs/benchmarks.md explains the figures.

import type { Figures } from './cluster-parts.ts'

/** Remarks on figures: their spread, or why one was not measured. */
export type Remarks = Partial<Record<keyof Figures, string>>

export interface Judgement {
  readonly what: string
  readonly target: string
  readonly measured: string
  readonly met: boolean | null
  readonly remark: string
}

export const TARGETS = {
  leaderCrashMs: 1000,
  leaderHangMs: 2000,
  configToAllMs: 500,
  joinMs: 1500,
  idlePercent: 1,
  snapshotMs: 2000,
  relayedTimes: 2.2,
} as const

/** `noise`: the relative difference between rounds of the same measurement. */
export function judge(figures: Figures, remarks: Remarks, noise: number): Judgement[] {
  const atMost = (what: string, key: keyof Figures & `${string}Ms${string}`, limit: number): Judgement => {
    const value = figures[key]
    const target = `${limit.toLocaleString('en-US')} ms`
    const remark = remarks[key] ?? ''
    if (typeof value !== 'number') return { what, target, measured: '-', met: null, remark }
    return { what, target, measured: `${value.toFixed(0)} ms`, met: value <= limit, remark }
  }
  return [
    atMost('leader crash until all replicas report the new leader, p99', 'leaderCrashMsP99', TARGETS.leaderCrashMs),
    atMost('leader hang until all replicas report the new leader, p99', 'leaderHangMsP99', TARGETS.leaderHangMs),
    atMost("change in Swarm's API until every replica routes by it, p99", 'configToAllMsP99', TARGETS.configToAllMs),
    atMost('replica start until it serves, joining, slowest', 'joinMs', TARGETS.joinMs),
    idleOf(figures, remarks),
    atMost('100 members: a snapshot of 1 MB reaches all, slowest', 'snapshotToAllMs', TARGETS.snapshotMs),
    onOf(figures, remarks, noise),
    relayedOf(figures, remarks),
  ]
}

function idleOf({ idleCpuPercent }: Figures, { idleCpuPercent: remark = '' }: Remarks): Judgement {
  const by = Object.entries(idleCpuPercent ?? {}).sort(([a], [b]) => Number(a) - Number(b))
  return {
    what: `idle CPU of clustering per replica, at ${by.length === 0 ? '3 / 30 / 100' : by.map(([members]) => members).join(' / ')} members`,
    target: `${TARGETS.idlePercent} % of a core`,
    measured: by.length === 0 ? '-' : by.map(([, percent]) => `${percent.toFixed(2)} %`).join(' / '),
    met: by.length === 0 ? null : by.every(([, percent]) => percent <= TARGETS.idlePercent),
    remark,
  }
}

function onOf({ cpuUsPerRequestOff: off, cpuUsPerRequestOn: on }: Figures, remarks: Remarks, noise: number): Judgement {
  const both = off !== null && on !== null
  return {
    what: 'CPU per request with clustering on, compared with off',
    target: 'no difference beyond noise',
    measured: both ? `${on.toFixed(1)} us against ${off.toFixed(1)} us (${(on / off).toFixed(2)} times)` : '-',
    met: both ? on / off <= 1 + noise : null,
    remark: remarks.cpuUsPerRequestOn ?? '',
  }
}

function relayedOf({ cpuUsPerRequestOn: on, cpuUsPerRelayedRequest: relayed }: Figures, remarks: Remarks): Judgement {
  const both = relayed !== null && on !== null
  return {
    what: 'CPU of a relayed request, both replicas together, compared with a direct one',
    target: `${TARGETS.relayedTimes} times`,
    measured: both ? `${relayed.toFixed(1)} us (${(relayed / on).toFixed(2)} times)` : '-',
    met: both ? relayed / on <= TARGETS.relayedTimes : null,
    remark: remarks.cpuUsPerRelayedRequest ?? '',
  }
}

/** The table in Markdown, for the documentation. */
export function clusterTable(judgements: readonly Judgement[]): string {
  const rows = judgements.map(({ what, target, measured, met, remark }) => {
    const verdict = met === null ? 'not measured' : met ? 'met' : '**missed**'
    return `| ${what} | ${target} | ${measured} | ${verdict} | ${remark} |`
  })
  return ['| what | at most | measured | | |', '|---|---|---|---|---|', ...rows].join('\n')
}
