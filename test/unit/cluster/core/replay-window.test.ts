// Replays are rejected while reordered messages are accepted.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ReplayWindow } from '../../../../cluster/core/replay-window.ts'

test('each number of a sender is accepted once, in any order', () => {
  const replayWindow = new ReplayWindow(10)
  const numbers = [0, 3, 1, 2, 10, 9, 500, 499, 1000]
  assert.ok(numbers.every(n => replayWindow.accept('a', n)))
  assert.not.ok(numbers.some(n => replayWindow.accept('a', n)))
  assert.ok(replayWindow.accept('a', 4))
})

test('senders are tracked separately', () => {
  const replayWindow = new ReplayWindow(10)
  assert.ok(replayWindow.accept('a', 5) && replayWindow.accept('b', 5))
  assert.not.ok(replayWindow.accept('b', 5))
})

test('a number behind the window is rejected; one far ahead is accepted and moves the window', () => {
  const replayWindow = new ReplayWindow(10)
  assert.ok(replayWindow.accept('a', 7))
  assert.ok(replayWindow.accept('a', 7 + 1024))
  assert.not.ok(replayWindow.accept('a', 7))
  assert.ok(replayWindow.accept('a', 8))
  assert.ok(replayWindow.accept('a', 2 ** 48))
  assert.ok(replayWindow.accept('a', 2 ** 48 - 1023))
  assert.not.ok(replayWindow.accept('a', 2 ** 48 - 1024))
})

test('random numbers: agrees with a plain set', () => {
  const replayWindow = new ReplayWindow(1)
  const seen = new Set<number>()
  let highest = 0
  let seed = 1
  for (let i = 0; i < 20_000; i++) {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff
    const n = Math.max(0, highest + (seed % 700) - 600)
    assert.is(replayWindow.accept('a', n), !seen.has(n) && n > highest - 1024, `${n} after ${highest}`)
    seen.add(n)
    highest = Math.max(highest, n)
  }
})

test('the number of senders is bounded: the one idle for longest is evicted', () => {
  const replayWindow = new ReplayWindow(3)
  for (const sender of ['a', 'b', 'c']) replayWindow.accept(sender, 1)
  replayWindow.accept('a', 2)
  replayWindow.accept('d', 1)
  assert.not.ok(replayWindow.accept('a', 2))
  assert.not.ok(replayWindow.accept('c', 1))
  assert.ok(replayWindow.accept('b', 1))
})

test.run()
