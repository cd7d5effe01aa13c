// The figures of the cluster's bench for people: beside each its target, and whether it is met. What they mean:
// docs/benchmarks.md.

import type { Figures } from './cluster-parts.ts'

/** What may be said beyond the figures: how they spread, what was not measured and why. */
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

/** `noise`: by how much, as a share, the same measurement differs from one round to the next. */
export function judge(figures: Figures, remarks: Remarks, noise: number): Judgement[] {
  const most = (what: string, key: keyof Figures & `${string}Ms${string}`, limit: number): Judgement => {
    const value = figures[key]
    const target = `${limit.toLocaleString('en-US')} ms`
    const remark = remarks[key] ?? ''
    if (typeof value !== 'number') return { what, target, measured: '-', met: null, remark }
    return { what, target, measured: `${value.toFixed(0)} ms`, met: value <= limit, remark }
  }
  return [
    most('leader crash to new leader known by all, p99', 'leaderCrashMsP99', TARGETS.leaderCrashMs),
    most('leader hang to new leader known by all, p99', 'leaderHangMsP99', TARGETS.leaderHangMs),
    most("change in Swarm's API to every replica routing by it, p99", 'configToAllMsP99', TARGETS.configToAllMs),
    most('replica start to serving, joining, slowest', 'joinMs', TARGETS.joinMs),
    idleOf(figures, remarks),
    most('100 members: snapshot of 1 MB to all, slowest', 'snapshotToAllMs', TARGETS.snapshotMs),
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
    what: 'CPU per request with clustering on, against off',
    target: 'no difference beyond noise',
    measured: both ? `${on.toFixed(1)} us against ${off.toFixed(1)} us (${(on / off).toFixed(2)} times)` : '-',
    met: both ? on / off <= 1 + noise : null,
    remark: remarks.cpuUsPerRequestOn ?? '',
  }
}

function relayedOf({ cpuUsPerRequestOn: on, cpuUsPerRelayedRequest: relayed }: Figures, remarks: Remarks): Judgement {
  const both = relayed !== null && on !== null
  return {
    what: 'CPU that a relayed request costs, both replicas together, against one served directly',
    target: `${TARGETS.relayedTimes} times`,
    measured: both ? `${relayed.toFixed(1)} us (${(relayed / on).toFixed(2)} times)` : '-',
    met: both ? relayed / on <= TARGETS.relayedTimes : null,
    remark: remarks.cpuUsPerRelayedRequest ?? '',
  }
}

/** Markdown, so that it can be put into the documentation as it is. */
export function clusterTable(judgements: readonly Judgement[]): string {
  const rows = judgements.map(({ what, target, measured, met, remark }) => {
    const verdict = met === null ? 'not measured' : met ? 'met' : '**missed**'
    return `| ${what} | ${target} | ${measured} | ${verdict} | ${remark} |`
  })
  return ['| what | at most | measured | | |', '|---|---|---|---|---|', ...rows].join('\n')
}
