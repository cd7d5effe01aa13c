// The receive buffer: the end of a head at every split, early refusal, and bytes after the head.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ReceiveBuffer } from '../../../../src/proxy/http1/receive-buffer.ts'

const LIMITS = { headerBytes: 100, headerCount: 10, uriBytes: 40 }
const HEAD = 'GET / HTTP/1.1\r\nHost: h\r\n\r\n'

test('a head is taken when it is complete, byte by byte or with bytes after it', () => {
  for (const before of ['', '\r\n']) {
    const received = new ReceiveBuffer(LIMITS)
    for (const byte of (before + HEAD).slice(0, -1)) {
      received.add(Buffer.from(byte))
      assert.is(received.takeHead(), '')
      assert.is(received.status, 0)
    }
    assert.ok(received.headStarted)
    received.add(Buffer.from(`\n${HEAD}rest`))
    assert.is(received.takeHead(), HEAD)
    assert.not(received.headStarted)
    assert.is(received.takeHead(), HEAD)
    assert.is(received.size, 4)
    assert.is(received.take()?.toString(), 'rest')
    assert.is(received.take(), null)
    assert.is(received.takeHead(), '')
  }
})

test('bytes that can never become a head are refused before its end', () => {
  const cases: readonly [bytes: string, status: number][] = [
    ['<get', 400],
    ['get', 0],
    ['\r\n\r', 0],
    ['\r\n\r\n', 400],
    ['GET / HTTP/1.1\nHost', 400],
    ['GET / HTTP/1.1\r\n\n', 400],
    ['GET / HTTP/1.1\r\n', 0],
    [`GET /${'a'.repeat(100)}`, 414],
    [`GET / HTTP/1.1\r\nX: ${'a'.repeat(100)}`, 431],
    [`GET / HTTP/1.1\r\nX: ${'a'.repeat(100)}\r\n\r\n`, 431],
  ]
  for (const [bytes, status] of cases) {
    const received = new ReceiveBuffer(LIMITS)
    received.add(Buffer.from(bytes))
    assert.is(received.takeHead(), '', bytes)
    assert.is(received.status, status, bytes)
    assert.is(received.problem !== '', status !== 0, bytes)
  }
})

test('the method of an incomplete head is available once it is complete', () => {
  for (const [bytes, method] of [
    ['', ''],
    ['HEA', ''],
    ['HEAD ', 'HEAD'],
    ['\r\nHEAD /x', 'HEAD'],
    ['head /x', 'head'],
    [`${'A'.repeat(32)} /`, 'A'.repeat(32)],
    [`${'A'.repeat(33)} /`, ''],
    ['HE<AD /x', ''],
    ['A'.repeat(60), ''],
  ] as const) {
    const received = new ReceiveBuffer(LIMITS)
    received.add(Buffer.from(bytes))
    assert.is(received.method, method, bytes)
  }
  assert.is(new ReceiveBuffer(LIMITS).method, '')
})

test.run()
