// Deadlines: called when due, not before, not when 0; adding and removing in the middle of a sweep loses nobody.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Sweep, type Timed } from '../../../src/proxy/sweep.ts'

let sweep: Sweep

test.before.each(() => {
  sweep = new Sweep()
})
test.after.each(() => sweep.stop())

function timed(deadline: number, onDeadline: (self: Timed) => void): Timed {
  const item: Timed = { deadline, sweepIndex: -1, onDeadline: () => onDeadline(item) }
  sweep.add(item)
  return item
}

test('due, not due, never', () => {
  const called: string[] = []
  timed(100, () => void called.push('a'))
  timed(101, () => void called.push('b'))
  timed(0, () => void called.push('never'))
  sweep.tick(99)
  assert.equal(called, [])
  assert.is(sweep.now, 99)
  sweep.tick(100)
  assert.equal(called, ['a'])
  sweep.tick(200)
  assert.equal(called.sort(), ['a', 'a', 'b'])
})

test('added twice is there once; removed twice is gone once', () => {
  let calls = 0
  const item = timed(1, () => void calls++)
  sweep.add(item)
  sweep.tick(1)
  assert.is(calls, 1)
  sweep.remove(item)
  sweep.remove(item)
  sweep.tick(2)
  assert.is(calls, 1)
  assert.is(item.sweepIndex, -1)
})

test('whoever removes itself or others while it is called: the rest is called exactly once', () => {
  for (let seed = 1; seed < 200; seed++) {
    let state = seed
    const random = (n: number) => {
      state = (state * 1_103_515_245 + 12_345) & 0x7fffffff
      return state % n
    }
    const calls = new Map<Timed, number>()
    const removed = new Set<Timed>()
    const items: Timed[] = []
    for (let i = 0; i < 20; i++) {
      items.push(
        timed(1, self => {
          calls.set(self, (calls.get(self) ?? 0) + 1)
          self.deadline = 0
          const other = items[random(20)]!
          if (random(2) === 0) {
            sweep.remove(other)
            removed.add(other)
          }
          if (random(2) === 0) {
            sweep.remove(self)
            removed.add(self)
          }
        }),
      )
    }
    sweep.tick(1)
    for (const item of items) {
      const n = calls.get(item) ?? 0
      assert.ok(n === 1 || (n === 0 && removed.has(item)), `seed ${seed}: ${n} calls`)
      sweep.remove(item)
    }
  }
})

test('the tick comes before the deadlines', () => {
  sweep.stop()
  const order: string[] = []
  sweep = new Sweep(() => void order.push('tick'))
  timed(1, () => void order.push('deadline'))
  sweep.tick(1)
  assert.equal(order, ['tick', 'deadline'])
})

test.run()
