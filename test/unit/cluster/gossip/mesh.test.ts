// The topology: a full mesh in a small cluster, a ring with chords in a large one.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FULL_UP_TO, isNeighbour, membersToDial } from '../../../../cluster/gossip/mesh.ts'

const ids = (count: number): string[] => Array.from({ length: count }, (_, i) => `m${String(i * 7919 + 13).padStart(8, '0')}`)

test('up to sixteen members form a full mesh', () => {
  for (const count of [1, 2, 16]) {
    const all = ids(count)
    for (const self of all) assert.equal(membersToDial(self, all), all.filter(id => id !== self).sort())
  }
  assert.is(FULL_UP_TO, 16)
})

test('listing the member itself makes no difference', () => {
  for (const count of [5, 50]) {
    const all = ids(count)
    assert.equal(membersToDial(all[0]!, all), membersToDial(all[0]!, all.slice(1)))
  }
})

/** The longest path from the first member, in hops; Infinity when a member cannot be reached. */
function width(all: readonly string[]): number {
  const hops = new Map([[all[0]!, 0]])
  const queue = [all[0]!]
  for (let id = queue.shift(); id !== undefined; id = queue.shift()) {
    for (const other of all) {
      if (hops.has(other) || !isNeighbour(id, other, all)) continue
      hops.set(other, hops.get(id)! + 1)
      queue.push(other)
    }
  }
  return hops.size === all.length ? Math.max(...hops.values()) : Number.POSITIVE_INFINITY
}

test('a larger cluster is connected by few connections within few hops', () => {
  for (const count of [17, 30, 100]) {
    const all = ids(count)
    const degree = all.filter(other => other !== all[0] && isNeighbour(all[0]!, other, all)).length
    assert.ok(degree >= 4 && degree <= 12, `${count} members: ${degree} connections`)
    assert.ok(width(all) <= 6, `${count} members: ${width(all)} hops`)
  }
})

test('no member dials itself, or another one twice', () => {
  for (const count of [17, 18, 27, 54, 256]) {
    const all = ids(count)
    for (const self of all) {
      const chosen = membersToDial(self, all)
      assert.not(chosen.includes(self))
      assert.is(new Set(chosen).size, chosen.length)
    }
  }
})

test.run()
