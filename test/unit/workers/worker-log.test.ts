// A worker's log: batches, rate limit, and the count of suppressed lines.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Downstream } from '../../../src/proxy/forward/downstream.ts'
import { Exchange } from '../../../src/proxy/forward/exchange.ts'
import { parseRequestHead } from '../../../src/proxy/http1/parse-head.ts'
import type { FromWorker } from '../../../src/workers/messages.ts'
import { WorkerLog } from '../../../src/workers/worker-log.ts'

const LIMITS = { headerBytes: 65_536, headerCount: 128, uriBytes: 16_384 }
type Logs = Extract<FromWorker, { kind: 'logs' }>

test('lines are sent in order with the next flush; without lines nothing is sent', () => {
  const posted: Logs[] = []
  const log = new WorkerLog(message => void posted.push(message as Logs))
  log.flush(1000)
  assert.is(posted.length, 0)
  log.add('warn', 'a', { status: 502 })
  log.add('info', 'b', {})
  log.flush(1100)
  log.flush(1200)
  assert.is(posted.length, 1)
  assert.equal(
    posted[0]!.lines.map(line => [line.level, line.message]),
    [
      ['warn', 'a'],
      ['info', 'b'],
    ],
  )
  assert.is(posted[0]!.suppressed, 0)
})

test('a flood is suppressed and counted; a second later lines pass again', () => {
  const posted: Logs[] = []
  const log = new WorkerLog(message => void posted.push(message as Logs))
  log.flush(1000)
  for (let i = 0; i < 1000; i++) log.add('info', `${i}`, {})
  log.flush(1100)
  for (let i = 0; i < 1000; i++) log.add('info', `${i}`, {})
  log.flush(2100)
  log.add('info', 'again', {})
  log.flush(2200)
  const lines = posted.reduce((sum, one) => sum + one.lines.length, 0)
  const suppressed = posted.reduce((sum, one) => sum + one.suppressed, 0)
  assert.ok(lines <= 101 && lines >= 2, `${lines} lines`)
  assert.is(lines + suppressed, 2001)
  assert.is(posted.at(-1)!.lines.at(-1)!.message, 'again')
})

test('the access log: one JSON object a request, sent with the next flush or when large', () => {
  const posted: FromWorker[] = []
  const log = new WorkerLog(message => void posted.push(message))
  const x = new Exchange({} as Downstream, 'web')
  x.clientAddress = '192.0.2.7'
  assert.is(parseRequestHead(x.req, 'GET /a%20"b?c HTTP/1.1\r\nHost: Shop.test:81\r\n\r\n', LIMITS) || x.begin(1), 0)
  x.status = 200
  x.bytesOut = 5
  log.access(x, 12.3456)
  assert.equal(posted, [])
  log.flush(1000)
  const [line, rest] = textOf(posted[0]).split('\n')
  assert.is(rest, '')
  const { time, ...entry } = JSON.parse(line!)
  assert.ok(Math.abs(Date.parse(time) - Date.now()) < 60_000, time)
  assert.equal(entry, {
    client: '192.0.2.7',
    method: 'GET',
    host: 'Shop.test:81',
    path: '/a%20"b',
    status: 200,
    ms: 12.346,
    bytesIn: 0,
    bytesOut: 5,
    router: null,
    server: null,
    attempts: 0,
  })
  for (let i = 0; i < 1000; i++) log.access(x, 1)
  assert.ok(posted.length > 1, 'the buffer is bounded between flushes')
})

function textOf(message: FromWorker | undefined): string {
  assert.is(message?.kind, 'access')
  return (message as Extract<FromWorker, { kind: 'access' }>).text
}

test.run()
