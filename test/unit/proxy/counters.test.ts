// Counters: workers add, control reads; every number has its own place.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  ABORTED,
  BUCKET_MS,
  createCounters,
  FAILED,
  IN_FLIGHT,
  RETRIES,
  readCounters,
  SLOTS,
  WorkerCounters,
} from '../../../src/proxy/counters.ts'

test('workers add up, slots stay separate', () => {
  const buffer = createCounters(2)
  const [one, two] = [new WorkerCounters(buffer, 0), new WorkerCounters(buffer, 1)]
  for (const [worker, slot] of [
    [one, 1],
    [two, 1],
    [two, SLOTS - 1],
  ] as const) {
    worker.add(slot, IN_FLIGHT, 1)
    worker.finished(slot, 200, 3, 10, 20)
  }
  const totals = readCounters(buffer, 1)
  assert.equal([totals.requests, totals.inFlight, totals.bytesIn, totals.bytesOut, totals.answers['2xx']], [2, 0, 20, 40, 2])
  assert.is(totals.latencySumMs, 6)
  assert.is(readCounters(buffer, SLOTS - 1).requests, 1)
  assert.is(readCounters(buffer, 2).requests, 0)
})

test('every status counts in its class only', () => {
  for (const [status, name] of [
    [101, '1xx'],
    [299, '2xx'],
    [304, '3xx'],
    [499, '4xx'],
    [599, '5xx'],
    [999, '5xx'],
  ] as const) {
    const buffer = createCounters(1)
    const worker = new WorkerCounters(buffer, 0)
    worker.add(0, IN_FLIGHT, 1)
    worker.finished(0, status, 0, 0, 0)
    const totals = readCounters(buffer, 0)
    assert.is(totals.answers[name], 1, String(status))
    assert.is(
      Object.values(totals.answers).reduce((a, b) => a + b),
      1,
    )
    assert.equal([totals.retries, totals.failed, totals.aborted, totals.latencySumMs], [0, 0, 0, 0])
  }
})

test('latency buckets include their bound; the last one has none', () => {
  const buffer = createCounters(1)
  const worker = new WorkerCounters(buffer, 0)
  for (const ms of BUCKET_MS) worker.finished(0, 200, ms, 0, 0)
  worker.finished(0, 200, 1e9, 0, 0)
  assert.equal(
    readCounters(buffer, 0).latencyBuckets,
    Array.from({ length: BUCKET_MS.length + 1 }, () => 1),
  )
})

test('a new worker resets requests in flight and keeps the counts', () => {
  const buffer = createCounters(2)
  const dead = new WorkerCounters(buffer, 0)
  const alive = new WorkerCounters(buffer, 1)
  dead.add(5, IN_FLIGHT, 3)
  dead.add(5, RETRIES, 1)
  dead.add(5, FAILED, 2)
  dead.add(5, ABORTED, 4)
  alive.add(5, IN_FLIGHT, 1)
  new WorkerCounters(buffer, 0).clearInFlight()
  const totals = readCounters(buffer, 5)
  assert.equal([totals.inFlight, totals.retries, totals.failed, totals.aborted], [1, 1, 2, 4])
})

test.run()
