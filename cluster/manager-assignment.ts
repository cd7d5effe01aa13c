// Assigns swarm managers to replicas. Every replica computes the same distribution from the same two lists: balanced, and
// stable when either list changes (rendezvous hashing with a cap of ceil(R/M)). Pure.

import { createHash } from 'node:crypto'

/**
 * The managers of every member in the order in which they are tried: its assigned one first, then the others by its own
 * rendezvous weights, so that the members of a failed manager spread over the rest. Each manager is assigned to between
 * floor(R/M) and ceil(R/M) members.
 */
export function assign(members: readonly string[], managers: readonly string[]): Map<string, readonly string[]> {
  const uniqueMembers = [...new Set(members)]
  const uniqueManagers = [...new Set(managers)]
  const pairs = uniqueMembers.flatMap(member =>
    uniqueManagers.map(manager => ({ member, manager, weight: weightOf(member, manager) })),
  )
  // Weights are compared as hex text; equal weights fall back to the names.
  pairs.sort((a, b) => compare(b.weight, a.weight) || compare(a.member, b.member) || compare(a.manager, b.manager))

  const orders = new Map<string, string[]>(uniqueMembers.map(member => [member, []]))
  for (const { member, manager } of pairs) orders.get(member)?.push(manager)

  const floor = uniqueManagers.length === 0 ? 0 : Math.floor(uniqueMembers.length / uniqueManagers.length)
  let extra = uniqueManagers.length === 0 ? 0 : uniqueMembers.length % uniqueManagers.length
  const load = new Map<string, number>()
  const first = new Map<string, string>()
  for (const { member, manager } of pairs) {
    if (first.has(member)) continue
    const taken = load.get(manager) ?? 0
    if (taken > floor || (taken === floor && extra === 0)) continue
    if (taken === floor) extra--
    load.set(manager, taken + 1)
    first.set(member, manager)
  }
  return new Map(
    [...orders].map(([member, order]) => {
      const own = first.get(member)
      return [member, own === undefined ? order : [own, ...order.filter(manager => manager !== own)]]
    }),
  )
}

function weightOf(member: string, manager: string): string {
  return createHash('sha256').update(`${member}\0${manager}`).digest('hex')
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
