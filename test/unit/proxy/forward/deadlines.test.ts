// Deadlines: called when due, not before, not when 0; adding and removing in the middle of a sweep loses nobody; nobody is late
// because this thread stood still.

import { MessageChannel } from 'node:worker_threads'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Sweep, type Timed } from '../../../../src/proxy/forward/deadlines.ts'

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

test('a deadline is called when it is due; 0 is never called', () => {
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

test('adding or removing an object twice has the effect of once', () => {
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

test('objects removed during a pass: each other one is called exactly once', () => {
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

const standStill = (ms: number): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)

test('a blocked thread: received data of several turns is handled before the deadlines', async () => {
  const called: string[] = []
  const { port1, port2 } = new MessageChannel()
  const answered = timed(sweep.now + 200, () => void called.push('answered'))
  let turns = 0
  port1.on('message', () => {
    if (++turns < 5) port2.postMessage('')
    else answered.deadline = 0
  })
  const silent = new Promise<void>(resolve => {
    const item = timed(sweep.now + 200, () => {
      item.deadline = 0
      called.push('silent')
      resolve()
    })
  })
  // From here the loop goes on with its timers.
  await new Promise(resolve => setImmediate(resolve))
  port2.postMessage('')
  standStill(700)
  await silent
  port1.close()
  assert.is(turns, 5)
  assert.equal(called, ['silent'])
})

test('a thread that is always blocked still enforces deadlines', async () => {
  let due = false
  const item = timed(sweep.now + 200, () => {
    item.deadline = 0
    due = true
  })
  for (let turns = 0; !due; turns++) {
    assert.ok(turns < 20, 'never due')
    standStill(300)
    await new Promise(resolve => setTimeout(resolve, 1))
  }
})

test.run()
