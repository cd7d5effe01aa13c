// The connection topology. Up to 16 members form a full mesh. In larger clusters members are placed on a ring (by id) and each
// dials those 1, 3, 9, 27 ... places after it: connected for any number of members, few hops wide, about eight connections
// each. All members compute the same topology from the same list. Pure.

export const FULL_UP_TO = 16

/** The members that `self` dials. `members` may contain `self`. */
export function membersToDial(self: string, members: readonly string[]): readonly string[] {
  const ring = [...new Set([...members, self])].sort()
  if (ring.length <= FULL_UP_TO) return ring.filter(id => id !== self)
  const place = ring.indexOf(self)
  const chosen: string[] = []
  for (let distance = 1; distance <= ring.length / 2; distance *= 3) chosen.push(ring[(place + distance) % ring.length]!)
  return chosen
}

/** True when the topology has a connection between the two. */
export function isNeighbour(a: string, b: string, members: readonly string[]): boolean {
  return membersToDial(a, members).includes(b) || membersToDial(b, members).includes(a)
}
