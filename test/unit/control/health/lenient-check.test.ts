// Health checks over real sockets of servers whose responses have faults that data workers repair.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createHealthChecker } from '../../../../src/control/health/active-check.ts'
import { lenientStatus } from '../../../../src/control/health/lenient-check.ts'
import { Backend, snapshotOf } from '../../../integration/harness.ts'
import { REFUSED, REPAIRED } from '../../../integration/odd-responses.ts'
import { until } from '../../../until.ts'

let bytes = ''
let backend: Backend

test.before(async () => {
  backend = await Backend.start((_request, connection) => {
    connection.write(bytes)
    connection.socket.end()
  })
})

test.after(() => backend.stop())

const ask = (signal = new AbortController().signal) =>
  lenientStatus({ scheme: 'http', host: '127.0.0.1', port: backend.port, path: '/up?x', headers: { 'x-a': 'b' } }, 16_384, signal)

const failed = (status: Promise<number>) =>
  status.then(
    () => '',
    (error: Error) => error.message,
  )

test('a response that a data worker accepts has a status; one that it refuses has none', async () => {
  for (const [name, answer] of REPAIRED) {
    bytes = answer
    assert.is(await ask(), 200, name)
  }
  assert.match(
    backend.requests[0]!.head,
    /^GET \/up\?x HTTP\/1\.1\r\nhost: 127\.0\.0\.1:\d+\r\nx-a: b\r\nconnection: close\r\n\r\n$/,
  )
  for (const [name, answer] of REFUSED) {
    // These faults are detected by the exchange, or follow the head.
    if (/without a body|in HTTP\/1\.0|100 that/.test(name)) continue
    bytes = answer
    assert.ok((await failed(ask())).length > 5, name)
  }
})

test('an endless head, a silent server and an aborted check are errors', async () => {
  bytes = `HTTP/1.1 200 OK\nX: ${'y'.repeat(40_000)}`
  assert.match(await failed(ask()), /too large/)
  bytes = ''
  assert.match(await failed(ask()), /closed/)
  const silent = await Backend.raw(() => {})
  const abort = new AbortController()
  const asked = failed(
    lenientStatus({ scheme: 'http', host: '127.0.0.1', port: silent.port, path: '/', headers: {} }, 16_384, abort.signal),
  )
  await until('connected', () => silent.accepted === 1)
  abort.abort(new Error('no answer within 5 ms'))
  assert.is(await asked, 'no answer within 5 ms')
  silent.stop()
})

test('an old server passes unless its status is bad or its response cannot be repaired', async () => {
  const reports: string[] = []
  const log = { info() {}, warn() {} }
  const checker = createHealthChecker((name, _id, healthy, why) => void reports.push(`${name} ${healthy} ${why}`), log)
  const healthCheck = { path: '/', port: null, scheme: null, hostname: null, intervalMs: 20, timeoutMs: 20_000, headers: {} }
  bytes = 'HTTP/1.1 200 OK\nServer : old\n\nok'
  const before = backend.requests.length
  checker.apply(Object.values(snapshotOf({ app: { servers: [backend.port], healthCheck } }).services))
  try {
    await until('three checks, each asked twice', () => backend.requests.length >= before + 6)
    assert.equal(reports, [])
    bytes = 'HTTP/1.1 503 Busy\nServer : old\n\nno'
    await until('unhealthy', () => reports.length === 1)
    assert.equal(reports, ['app false answered 503'])
    bytes = 'HTTP/1.1 200 OK\nServer : old\n\nok'
    await until('healthy again', () => reports.length === 2)
    bytes = 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'
    await until('unhealthy again', () => reports.length === 3)
    assert.match(reports[2]!, /^app false /)
  } finally {
    await checker.stop()
  }
})

test.run()
