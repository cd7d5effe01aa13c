// The tables of the bench: one per case, with Skein's cost as a ratio to each other proxy.

import type { Case } from './cases.ts'
import type { Measurement } from './measure.ts'

export type Results = Record<string, Record<string, Measurement>>

/** The table in Markdown, for the documentation. */
export function caseTable({ name, title }: Case, byProxy: Readonly<Record<string, Measurement>>): string {
  const rows = [
    ['proxy', 'CPU us/request', "Skein's CPU is", 'requests/s', 'p50 ms', 'p99 ms', 'RSS MB', 'RSS idle MB', 'errors'],
  ]
  const skein = byProxy.skein?.cpuUsPerRequest ?? null
  for (const [proxy, one] of Object.entries(byProxy)) {
    const ratio =
      skein === null || one.cpuUsPerRequest === null || proxy === 'skein'
        ? '-'
        : `${(skein / one.cpuUsPerRequest).toFixed(2)} of it`
    rows.push([
      proxy,
      number(one.cpuUsPerRequest, 1),
      ratio,
      number(one.rps, 0),
      number(one.p50Ms, 2),
      number(one.p99Ms, 2),
      number(one.rssMB, 1),
      number(one.idleRssMB, 1),
      String(one.errors),
    ])
  }
  return `### ${name}: ${title}\n\n${markdown(rows)}\n`
}

function number(value: number | null, digits: number): string {
  return value === null ? '-' : value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

function markdown(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map(row => row[column]!.length)))
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join(' | ')} |`
  const rule = `|${widths.map((width, i) => (i === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`
  return [line(rows[0]!), rule, ...rows.slice(1).map(line)].join('\n')
}
