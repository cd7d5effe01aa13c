// Requests that wait for a server: bounded, in order, and forgetful of whoever has gone.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Exchange } from '../../../../src/proxy/forward/exchange.ts'
import { PendingQueue } from '../../../../src/proxy/forward/pending-queue.ts'

const exchange = () => ({ active: true, generation: 1 }) as Exchange

test('requests are served in order and when due; a request added again keeps waiting', () => {
  const room = new PendingQueue()
  const [a, b, c] = [exchange(), exchange(), exchange()]
  room.add(a, 0)
  room.add(b, 10)
  room.add(c, 0)
  const served: Exchange[] = []
  room.serve(5, x => {
    served.push(x)
    if (x === a) room.add(x, 20)
  })
  assert.equal(served, [a, c])
  assert.is(room.size, 2)
  served.length = 0
  room.serve(20, x => void served.push(x))
  assert.is(served.length, 2)
  assert.is(room.size, 0)
})

test('a request that has ended is removed', () => {
  const room = new PendingQueue()
  const dead = exchange()
  const reused = exchange()
  room.add(dead, 0)
  room.add(reused, 0)
  dead.active = false
  reused.generation++
  room.serve(1, () => assert.unreachable())
  assert.is(room.size, 0)
})

test('a full queue refuses requests', () => {
  const room = new PendingQueue()
  let taken = 0
  while (taken < 100_000 && room.add(exchange(), 0)) taken++
  assert.is(taken, 1024)
})

test.run()
