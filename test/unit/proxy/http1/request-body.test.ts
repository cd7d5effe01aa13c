// Request bodies by length and in chunks, split anywhere: the server gets the same content, later bytes stay for the next request.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Downstream } from '../../../../src/proxy/forward/downstream.ts'
import { Exchange } from '../../../../src/proxy/forward/exchange.ts'
import { parseRequestHead } from '../../../../src/proxy/http1/parse-head.ts'
import { RequestBody } from '../../../../src/proxy/http1/request-body.ts'

const LIMITS = { headerBytes: 1000, headerCount: 10, uriBytes: 100 }

function begun(field: string, maxBytes = 0): { x: Exchange; body: RequestBody } {
  const x = new Exchange({} as Downstream, 'web')
  assert.is(parseRequestHead(x.req, `POST / HTTP/1.1\r\nHost: h\r\n${field}\r\n\r\n`, LIMITS) || x.begin(1), 0)
  const body = new RequestBody(maxBytes)
  body.begin(x)
  return { x, body }
}

/** Reads until the body is complete or refused. Returns the content and the number of bytes consumed. */
function readAll(field: string, bytes: string, step: number, maxBytes = 0) {
  const { x, body } = begun(field, maxBytes)
  const sent: string[] = []
  let used = 0
  while (used < bytes.length && !body.complete && body.status === 0) {
    const piece = Buffer.from(bytes.slice(used, used + step), 'latin1')
    const data = body.read(x, piece)
    if (data !== null) sent.push(data.toString('latin1'))
    used += body.status === 0 ? body.position : 0
  }
  return { sent, used, x, body }
}

test('a body with a length is forwarded unchanged, and not one byte more', () => {
  for (const step of [1, 2, 5, 100]) {
    const { sent, used, x, body } = readAll('Content-Length: 5', 'helloGET', step)
    assert.is(sent.join(''), 'hello')
    assert.equal([used, body.complete, x.bytesIn], [5, true, 5])
  }
})

test('a chunked body is passed as content, one piece for each buffer, then its trailers', () => {
  const wire = '3;a=b\r\nhel\r\n02\r\nlo\r\n0\r\nX: y\r\n\r\n'
  const whole = readAll('Transfer-Encoding: chunked', `${wire}GET`, 1000)
  assert.equal(whole.sent, ['hello'])
  assert.equal(whole.x.body.trailers.pairs, ['X', 'y'])
  assert.equal([whole.used, whole.body.complete, whole.x.bytesIn], [wire.length, true, 5])
  const single = readAll('Transfer-Encoding: chunked', `${wire}GET`, 1)
  assert.equal(single.sent, ['h', 'e', 'l', 'l', 'o'])
  assert.equal(single.x.body.trailers.pairs, ['X', 'y'])
  assert.equal([single.used, single.body.complete, single.x.bytesIn], [wire.length, true, 5])
})

test('a malformed chunk or too large a body is refused, and nothing of that piece is forwarded', () => {
  const bad = readAll('Transfer-Encoding: chunked', '2\r\nab\r\nx', 1000)
  assert.equal([bad.sent, bad.body.status, bad.body.complete], [[], 400, false])
  assert.is.not(bad.body.problem, '')
  const large = readAll('Transfer-Encoding: chunked', '2\r\nab\r\n2\r\ncd\r\n', 7, 3)
  assert.equal([large.sent, large.body.status], [['ab'], 413])
  assert.is(readAll('Transfer-Encoding: chunked', '3\r\nabc\r\n0\r\n\r\n', 7, 3).body.complete, true)
})

test('one reader serves many bodies, also after a refusal', () => {
  const { x, body } = begun('Transfer-Encoding: chunked')
  body.read(x, Buffer.from('x'))
  assert.is(body.status, 400)
  body.begin(x)
  assert.is(body.read(x, Buffer.from('0\r\n\r\n')), null)
  assert.equal([body.status, body.complete, body.position], [0, true, 5])
})

test.run()
