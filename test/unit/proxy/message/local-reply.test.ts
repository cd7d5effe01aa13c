// Answers of our own: whole, short, with a request id, and without anything from the inside.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ownAnswer, RequestIds } from '../../../../src/proxy/message/local-reply.ts'

test('every status we answer with has a reason, the right length and the id twice', () => {
  for (const status of [400, 404, 405, 408, 413, 414, 429, 431, 500, 501, 502, 503, 504, 505]) {
    const text = ownAnswer(status, 'id-1', 'GET', false)
    const [head, body] = text.split('\r\n\r\n') as [string, string]
    assert.match(head, new RegExp(`^HTTP/1\\.1 ${status} (?!Error)[A-Z]`))
    assert.ok(head.includes(`Content-Length: ${body.length}`))
    assert.ok(head.includes('X-Request-Id: id-1'))
    assert.ok(body.startsWith(`${status} `) && body.endsWith('request id: id-1\n'))
    assert.not.match(head, /Connection/)
    assert.is(/Retry-After/.test(head), status === 503)
    assert.is(/Allow/.test(head), status === 405)
  }
})

test('HEAD gets the head only; close says so', () => {
  const text = ownAnswer(404, 'id-1', 'HEAD', true)
  assert.ok(text.endsWith('\r\n\r\n'))
  assert.match(text, /Content-Length: [1-9]/)
  assert.match(text, /\r\nConnection: close\r\n/)
})

test('ids are unique and cannot break a header or a log line', () => {
  const ids = new RequestIds('edge 1\r\nX: y', 3, 1_700_000_000_000)
  const other = new RequestIds('edge 1\r\nX: y', 4, 1_700_000_000_000)
  const seen = new Set<string>()
  for (let i = 0; i < 1000; i++) seen.add(ids.next()).add(other.next())
  assert.is(seen.size, 2000)
  for (const id of seen) assert.match(id, /^[\w.-]+$/)
  assert.ok(new RequestIds('x'.repeat(1000), 0, 1).next().length < 100)
})

test.run()
