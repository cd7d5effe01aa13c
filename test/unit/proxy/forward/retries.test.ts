// Which requests may be sent again, and that a service without servers does not hold up another service's retries.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Downstream } from '../../../../src/proxy/forward/downstream.ts'
import { Exchange } from '../../../../src/proxy/forward/exchange.ts'
import { MAX_PENDING } from '../../../../src/proxy/forward/pending-queue.ts'
import { mayResend, Retries } from '../../../../src/proxy/forward/retries.ts'
import { BY_LENGTH, NO_BODY } from '../../../../src/proxy/message/framing.ts'
import { UpstreamServer } from '../../../../src/proxy/upstream/upstream-server.ts'
import { noTransport } from '../no-transport.ts'

const server = new UpstreamServer(
  { id: 's', scheme: 'http', host: '127.0.0.1', port: 1, weight: 1, state: 'active', node: '' },
  'app',
  noTransport,
)

function exchange(method = 'GET'): Exchange {
  const x = new Exchange({} as Downstream, 'web')
  x.method = method
  x.active = true
  x.startMs = performance.now()
  x.attempt.count = 1
  x.attempt.sends = 1
  return x
}

test('only idempotent requests whose body is still held may be sent again', () => {
  const cases: [string, boolean, boolean, boolean][] = [
    ['GET', false, false, true],
    ['POST', false, false, false],
    ['PUT', true, true, true],
    ['PUT', true, false, false],
    ['POST', true, true, false],
  ]
  for (const [method, body, held, expected] of cases) {
    const x = exchange(method)
    x.body.framing = body ? BY_LENGTH : NO_BODY
    x.body.holding = held
    assert.is(mayResend(x), expected, `${method}, body ${body}, held ${held}`)
  }
})

test('a retry that waits for a server frees its place in the budget', () => {
  const attempt: Exchange[] = []
  const retries = new Retries(
    { attempts: 3, bufferBytes: 0, budgetRatio: 0, budgetMin: 1, serverWaitMs: 5000 },
    {
      inFlight: 2,
      attempt: x => void attempt.push(x),
      canRelay: () => false,
      mayRelaySoon: () => false,
      fail: (_x, _status, why) => assert.unreachable(why),
    },
  )
  const [waiting, next] = [exchange(), exchange()]
  retries.retry(waiting, 'reset', server, true)
  retries.retry(next, 'reset', server, true)
  assert.equal(attempt, [waiting])
  retries.waitForServer(waiting)
  assert.equal(attempt, [waiting, next])
  assert.equal([waiting.attempt.onBudget, next.attempt.onBudget], [false, true])
})

test('a request that waits for reports keeps its place in the budget: it is sent again after it', async () => {
  const attempts: Exchange[] = []
  const retries = new Retries(
    { attempts: 3, bufferBytes: 0, budgetRatio: 0, budgetMin: 1, serverWaitMs: 5000 },
    {
      inFlight: 2,
      attempt: x => void attempts.push(x),
      canRelay: () => false,
      mayRelaySoon: () => false,
      fail: (_x, _status, why) => assert.unreachable(why),
    },
  )
  const [waiting, next] = [exchange(), exchange()]
  assert.ok(retries.takeBudget(waiting))
  assert.ok(retries.waitForReports(waiting))
  assert.not(retries.takeBudget(next))
  retries.servePendingSoon()
  retries.servePendingSoon()
  await new Promise(setImmediate)
  await new Promise(setImmediate)
  assert.equal(attempts, [waiting])
})

test('requests that wait for reports leave half of the queue to requests that find no server', () => {
  const retries = new Retries(
    { attempts: 3, bufferBytes: 0, budgetRatio: 0, budgetMin: 1, serverWaitMs: 5000 },
    { inFlight: 2, attempt() {}, canRelay: () => false, mayRelaySoon: () => false, fail() {} },
  )
  let added = 0
  while (added < MAX_PENDING && retries.waitForReports(exchange())) added++
  assert.is(added, MAX_PENDING / 2)
})

test.run()
