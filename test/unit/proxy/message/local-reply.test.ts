// Local replies: complete, short, with a request id, and without internal details.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { localReplyText } from '../../../../src/proxy/http1/write-head.ts'
import { FieldList, NO_FIELDS } from '../../../../src/proxy/message/field-list.ts'
import { healthReply, localReply } from '../../../../src/proxy/message/local-reply.ts'

test('every status has a reason, the right length, and the request id in a field and the body', () => {
  for (const status of [301, 308, 400, 404, 405, 408, 413, 414, 429, 431, 500, 501, 502, 503, 504, 505]) {
    const text = localReplyText(localReply(status, 'id-1', NO_FIELDS), 'GET', false)
    const [head, body] = text.split('\r\n\r\n') as [string, string]
    assert.match(head, new RegExp(`^HTTP/1\\.1 ${status} (?!Error)[A-Z]`))
    assert.ok(head.includes(`Content-Length: ${body.length}`))
    assert.ok(head.includes('X-Request-Id: id-1'))
    assert.ok(body.startsWith(`${status} `) && body.endsWith('request id: id-1\n'))
    assert.not.match(head, /Connection/)
    assert.is(/Retry-After: 1\b/.test(head), status === 503)
    assert.is(/Allow/.test(head), status === 405)
  }
})

test('a HEAD request gets the head only, and a closing connection says so', () => {
  const text = localReplyText(localReply(404, 'id-1', NO_FIELDS), 'HEAD', true)
  assert.ok(text.endsWith('\r\n\r\n'))
  assert.match(text, /Content-Length: [1-9]/)
  assert.match(text, /\r\nConnection: close\r\n/)
})

test('further fields and the delay of a retry are part of the reply', () => {
  const reply = localReply(503, 'id-1', new FieldList('X-A', '1'), 7)
  assert.equal([reply.fields.value('X-A'), reply.fields.value('Retry-After')], ['1', '7'])
})

test('the health check is 200, and 503 while draining', () => {
  assert.equal([healthReply(false).status, healthReply(false).body], [200, 'OK\n'])
  assert.equal([healthReply(true).status, healthReply(true).body], [503, 'draining\n'])
})

test.run()
