// Who is to be connected with whom. Up to 16 members everybody with everybody; beyond, members stand in a ring (by id) and each
// dials those 1, 3, 9, 27 ... places after it: connected whatever their number, few hops wide, and some eight connections each.
// Everybody computes the same from the same list. Pure.

export const FULL_UP_TO = 16

/** The members that `self` is to dial; `members` may hold `self`. */
export function membersToDial(self: string, members: readonly string[]): readonly string[] {
  const ring = [...new Set([...members, self])].sort()
  if (ring.length <= FULL_UP_TO) return ring.filter(id => id !== self)
  const place = ring.indexOf(self)
  const chosen: string[] = []
  for (let distance = 1; distance <= ring.length / 2; distance *= 3) chosen.push(ring[(place + distance) % ring.length]!)
  return chosen
}

/** Whether a connection between the two is one that either of them is to keep up. */
export function isNeighbour(a: string, b: string, members: readonly string[]): boolean {
  return membersToDial(a, members).includes(b) || membersToDial(b, members).includes(a)
}
