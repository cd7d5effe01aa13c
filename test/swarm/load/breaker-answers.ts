// If a scenario makes a backend fail on purpose, two kinds of answers are expected: the backend's 500, correct to the byte in every
// other respect, and an edge's 503 with Retry-After while its breaker refuses. They are counted separately with their times, and the
// scenario judges whether their times and edges were right. Every other answer that is not 200 counts as failed.

import type { Reply } from './http-client.ts'

/** The counts of one edge. Times are those of answers, in ms since the epoch; null: none. */
export interface EdgeBreakerAnswers {
  /** The backend's 500s. */
  readonly intended: number
  readonly firstIntendedAt: number | null
  readonly lastIntendedAt: number | null
  /** The edge's 503s. */
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

  /** Counts the answer if it is an edge's refusal, and returns whether it is. */
  takeRefusal(edge: string, reply: Reply): boolean {
    const tally = this.edges.get(edge)?.refused
    if (tally === undefined || reply.status !== 503 || !/^retry-after:[ \t]*\d+[ \t]*$/im.test(reply.head)) return false
    add(tally, Date.now())
    return true
  }

  /** Counts the status if it is that of a backend that fails on purpose, and returns whether it is. The body must have been checked. */
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
