// The end of an exchange: what it held is released, and a middleware cannot prevent that.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Wait } from '../../../../src/middlewares/wait.ts'
import { createCounters, readCounters, WorkerCounters } from '../../../../src/proxy/counters.ts'
import { type AccountingContext, finish } from '../../../../src/proxy/forward/accounting.ts'
import type { Downstream } from '../../../../src/proxy/forward/downstream.ts'
import { Exchange } from '../../../../src/proxy/forward/exchange.ts'
import { parseRequestHead } from '../../../../src/proxy/http1/parse-head.ts'
import { RequestIds } from '../../../../src/proxy/message/request-ids.ts'

const LIMITS = { headerBytes: 65_536, headerCount: 128, uriBytes: 16_384 }

function setUp() {
  const buffer = createCounters(1)
  const logs: string[] = []
  const context: AccountingContext = {
    options: { accessLog: false },
    counters: new WorkerCounters(buffer, 0),
    ids: new RequestIds('test', 0, 0),
    breakerEvents: { probing() {}, probed() {} },
    log: (_level, message) => void logs.push(message),
    access() {},
  }
  const x = new Exchange({} as Downstream, 'web')
  parseRequestHead(x.req, 'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n', LIMITS)
  x.begin(performance.now())
  return { context, x, logs, counters: () => readCounters(buffer, 0) }
}

test('the body held during a wait is released by the end of the exchange', () => {
  const { context, x } = setUp()
  x.body.hold(Buffer.from('abc'))
  finish(context, x, 403)
  assert.is(x.body.held, null)
  assert.not(x.body.holding)
})

test('a wait whose cancellation throws: the exchange is counted, and the error is logged once', () => {
  const { context, x, logs, counters } = setUp()
  x.wait = new Wait(() => {
    throw new Error('no cancel')
  })
  assert.ok(x.cancelWait())
  finish(context, x, 499)
  finish(context, x, 499)
  assert.equal([counters().requests, counters().inFlight], [1, 0])
  assert.is(logs.length, 1)
  assert.match(logs[0]!, /failed to cancel its wait: no cancel/)
})

test.run()
