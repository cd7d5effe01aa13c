// Where a scenario makes a backend fail on purpose, two answers are its own: the backend's 500, right to the byte in every other
// respect, and an edge's 503 with Retry-After while a breaker refuses. They are counted apart, with their times, for the scenario
// to judge (each belongs to a certain time, and 500s to certain edges); whatever else is not 200 has failed as ever.

import type { Reply } from './http-client.ts'

/** Of one edge. Times are ms since the epoch, of the answer; null: there was none. */
export interface EdgeBreakerAnswers {
  /** The backend's 500s. */
  readonly intended: number
  readonly firstIntendedAt: number | null
  readonly lastIntendedAt: number | null
  /** The edge's own 503s. */
  readonly refused: number
  readonly firstRefusedAt: number | null
  readonly lastRefusedAt: number | null
}

export type BreakerReport = Readonly<Record<string, EdgeBreakerAnswers>>

interface Tally {
  count: number
  first: number | null
  last: number | null
}

function add(tally: Tally, at: number): void {
  tally.count += 1
  tally.first ??= at
  tally.last = at
}

export class BreakerAnswers {
  private readonly edges = new Map<string, { readonly intended: Tally; readonly refused: Tally }>()

  constructor(edges: readonly string[]) {
    const none = (): Tally => ({ count: 0, first: null, last: null })
    for (const edge of edges) this.edges.set(edge, { intended: none(), refused: none() })
  }

  /** True when the answer is an edge's refusal, which is counted. */
  takeRefusal(edge: string, reply: Reply): boolean {
    const tally = this.edges.get(edge)?.refused
    if (tally === undefined || reply.status !== 503 || !/^retry-after:[ \t]*\d+[ \t]*$/im.test(reply.head)) return false
    add(tally, Date.now())
    return true
  }

  /** True when the status is that of a backend which fails on purpose, which is counted. The body must have been found right. */
  takeIntended(edge: string, reply: Reply): boolean {
    const tally = this.edges.get(edge)?.intended
    if (tally === undefined || reply.status !== 500) return false
    add(tally, Date.now())
    return true
  }

  report(): BreakerReport {
    return Object.fromEntries(
      [...this.edges].map(([edge, { intended, refused }]) => [
        edge,
        {
          intended: intended.count,
          firstIntendedAt: intended.first,
          lastIntendedAt: intended.last,
          refused: refused.count,
          firstRefusedAt: refused.first,
          lastRefusedAt: refused.last,
        },
      ]),
    )
  }
}
