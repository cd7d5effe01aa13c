// Weighted round robin for long lists. Servers of equal weight form a group; groups take smooth turns by the total weight of
// their members, and the members of a group rotate. A pick costs one step per distinct weight, not per server. Over a whole cycle
// the shares equal those of the plain algorithm. Usable members are counted every 50 ms.

import type { UpstreamServer } from '../upstream/upstream-server.ts'
import { isEligible } from './eligible.ts'

const RECOUNT_EVERY_MS = 50

interface Group {
  readonly weight: number
  readonly members: UpstreamServer[]
  /** Usable members at the last count. */
  usable: number
  current: number
  cursor: number
}

export class WeightGroups {
  readonly #groups: Group[] = []
  #recountAtMs = Number.NEGATIVE_INFINITY

  /** `weightOf` is called once per server. Create new groups when weights change. */
  constructor(servers: readonly UpstreamServer[], weightOf: (server: UpstreamServer) => number) {
    const byWeight = new Map<number, Group>()
    for (const server of servers) {
      const weight = weightOf(server)
      if (weight <= 0) continue
      const group = byWeight.get(weight)
      if (group === undefined) byWeight.set(weight, { weight, members: [server], usable: 0, current: 0, cursor: 0 })
      else group.members.push(server)
    }
    this.#groups.push(...byWeight.values())
  }

  /** Null if no server is usable now. Ejected servers are not used. */
  pick(tried: readonly UpstreamServer[] | null, nowMs: number): UpstreamServer | null {
    if (nowMs >= this.#recountAtMs) this.#recount(nowMs)
    for (let attempts = this.#groups.length; attempts > 0; attempts--) {
      const group = this.#turn()
      if (group === null) return null
      const server = rotate(group, tried, nowMs)
      if (server !== null) return server
      // All members became unusable since the last count: the group gets no turn before the next one.
      group.usable = 0
    }
    return null
  }

  #recount(nowMs: number): void {
    this.#recountAtMs = nowMs + RECOUNT_EVERY_MS
    for (const group of this.#groups) {
      group.usable = 0
      for (let i = 0; i < group.members.length; i++) if (isEligible(group.members[i]!, null, nowMs)) group.usable++
    }
  }

  #turn(): Group | null {
    let best: Group | null = null
    let total = 0
    for (let i = 0; i < this.#groups.length; i++) {
      const group = this.#groups[i]!
      if (group.usable === 0) continue
      const weight = group.weight * group.usable
      group.current += weight
      total += weight
      if (best === null || group.current > best.current) best = group
    }
    if (best !== null) best.current -= total
    return best
  }
}

function rotate(group: Group, tried: readonly UpstreamServer[] | null, nowMs: number): UpstreamServer | null {
  const { members } = group
  let at = group.cursor
  for (let left = members.length; left > 0; left--) {
    const server = members[at]!
    at = at + 1 === members.length ? 0 : at + 1
    if (isEligible(server, tried, nowMs)) {
      group.cursor = at
      return server
    }
  }
  return null
}
