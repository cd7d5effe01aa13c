// The retry budget: a share of what is in flight, a least number, a queue for the rest that forgets whoever has gone.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Exchange } from '../../../../src/proxy/forward/exchange.ts'
import { RetryBudget } from '../../../../src/proxy/forward/retry-budget.ts'

const exchange = () => ({ active: true, generation: 1 }) as Exchange

test('the budget is a share of the requests in flight, with a minimum', () => {
  const budget = new RetryBudget(0.2, 3)
  for (let i = 0; i < 3; i++) assert.ok(budget.take(1))
  assert.not(budget.take(1))
  assert.not(budget.take(15))
  assert.ok(budget.take(20))
  assert.not(budget.take(20))
  budget.release()
  assert.ok(budget.take(20))
})

test('queued retries are served in order as places are freed', () => {
  const budget = new RetryBudget(0, 1)
  const waiting = [exchange(), exchange(), exchange()]
  assert.ok(budget.take(0))
  for (const x of waiting) assert.ok(budget.wait(x, 0))
  const gone: Exchange[] = []
  const go = (x: Exchange) => void gone.push(x)
  const late = () => assert.unreachable()
  budget.serve(0, 1, go, late)
  assert.is(gone.length, 0)
  budget.release()
  budget.serve(0, 1, go, late)
  assert.equal(gone, [waiting[0]])
  budget.release()
  budget.serve(0, 1, go, late)
  assert.is(gone[1], waiting[1])
})

test('a queued retry whose request has ended takes no place', () => {
  const budget = new RetryBudget(0, 1)
  const dead = exchange()
  const reused = exchange()
  const alive = exchange()
  for (const x of [dead, reused, alive]) budget.wait(x, 0)
  dead.active = false
  reused.generation++
  const gone: Exchange[] = []
  budget.serve(
    0,
    1,
    x => void gone.push(x),
    () => assert.unreachable(),
  )
  assert.is(gone.length, 1)
  assert.is(gone[0], alive)
})

test('queued retries expire, and the queue is bounded', () => {
  const budget = new RetryBudget(0, 0)
  const x = exchange()
  assert.ok(budget.wait(x, 0))
  const late: Exchange[] = []
  const serve = (nowMs: number) =>
    budget.serve(
      0,
      nowMs,
      () => assert.unreachable(),
      one => void late.push(one),
    )
  serve(5000)
  assert.is(late.length, 0)
  serve(5001)
  assert.equal(late, [x])
  let taken = 0
  while (taken < 100_000 && budget.wait(exchange(), 0)) taken++
  assert.is(taken, 4096)
})

test.run()
