// The assignment of managers to replicas: balanced, stable, and independent of the order of its inputs.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { assign } from '../../../cluster/manager-assignment.ts'

const names = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, index) => `${prefix}${index}`)

function loads(spread: Map<string, readonly string[]>, managers: readonly string[]): number[] {
  return managers.map(manager => [...spread.values()].filter(order => order[0] === manager).length)
}

for (const [members, managers] of [
  [3, 3],
  [4, 3],
  [1, 3],
  [2, 5],
  [7, 3],
  [100, 7],
] as const) {
  test(`${members} replicas over ${managers} managers: no manager has two more than another`, () => {
    for (let round = 0; round < 20; round++) {
      const list = names(`m${round}-`, managers)
      const spread = assign(names(`r${round}-`, members), list)
      const counts = loads(spread, list)
      assert.is(
        counts.reduce((sum, count) => sum + count, 0),
        members,
      )
      assert.ok(Math.max(...counts) - Math.min(...counts) <= 1, counts.join(' '))
      assert.ok(Math.max(...counts) <= Math.ceil(members / managers))
    }
  })
}

test('every order contains every manager once', () => {
  const managers = names('m', 5)
  for (const order of assign(names('r', 9), managers).values()) assert.equal([...order].sort(), managers)
})

test('the order of the input lists makes no difference', () => {
  const members = names('r', 5)
  const managers = names('m', 3)
  assert.equal([...assign(members, managers)].sort(), [...assign([...members].reverse(), [...managers].reverse())].sort())
})

test('adding or removing a manager moves few of the other members', () => {
  const members = names('r', 30)
  const before = assign(members, names('m', 6))
  const after = assign(members, names('m', 5))
  const moved = members.filter(member => before.get(member)?.[0] !== 'm5' && before.get(member)?.[0] !== after.get(member)?.[0])
  assert.ok(moved.length <= 12, `${moved.length} of 30 moved`)
})

test('no managers or no members: an empty result', () => {
  assert.equal(assign(['r'], []).get('r'), [])
  assert.is(assign([], ['m']).size, 0)
})

test.run()
