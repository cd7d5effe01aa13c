// Heads as they are written: unchanged fields are copied, additions follow, nothing is lost between the runs.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Downstream } from '../../../../src/proxy/forward/downstream.ts'
import { Exchange } from '../../../../src/proxy/forward/exchange.ts'
import { parseRequestHead, parseResponseHead } from '../../../../src/proxy/http1/parse-head.ts'
import { forwardedFieldLines, requestHead, responseHead, statusLine } from '../../../../src/proxy/http1/write-head.ts'
import { FieldList, NO_FIELDS } from '../../../../src/proxy/message/field-list.ts'
import { BY_CHUNKS, NO_BODY } from '../../../../src/proxy/message/framing.ts'
import { Head } from '../../../../src/proxy/message/head.ts'

const LIMITS = { headerBytes: 65_536, headerCount: 128, uriBytes: 16_384 }

function exchange(head: string): Exchange {
  const x = new Exchange({} as Downstream, 'web')
  assert.is(parseRequestHead(x.req, head, LIMITS) || x.begin(1), 0)
  return x
}

test('any set of dropped fields leaves exactly the others', () => {
  const head = new Head()
  const lines = ['A: 1\r\n', 'B:2\r\n', 'C: \t3 \r\n', 'D:\r\n', 'E: 5\r\n']
  for (let set = 0; set < 32; set++) {
    parseResponseHead(head, `HTTP/1.1 200 OK\r\n${lines.join('')}\r\n`, LIMITS)
    for (let i = 0; i < 5; i++) if (set & (1 << i)) head.drop('abcde'[i]!)
    assert.is(forwardedFieldLines(head), lines.filter((_, i) => !(set & (1 << i))).join(''))
  }
})

test('a request without edits is sent as it was received', () => {
  const x = exchange('GET /a?b HTTP/1.1\r\nhOST: h\r\nAccept:*/*\r\n\r\n')
  assert.is(
    requestHead(x, new FieldList('X-Forwarded-For', '1')),
    'GET /a?b HTTP/1.1\r\nhOST: h\r\nAccept:*/*\r\nX-Forwarded-For: 1\r\n\r\n',
  )
})

test('edits of host, path, fields, framing and upgrade are written', () => {
  const x = exchange(
    'POST http://o.test/a HTTP/1.1\r\nX: 1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\nY: 2\r\n\r\n',
  )
  x.setHeader('Z', '3')
  x.path = '/b'
  assert.is(
    requestHead(x, new FieldList('F', '4')),
    'POST /b HTTP/1.1\r\nHost: o.test\r\nX: 1\r\nY: 2\r\nF: 4\r\nZ: 3\r\nTransfer-Encoding: chunked\r\n\r\n',
  )
  const up = exchange('GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n')
  assert.is(requestHead(up, NO_FIELDS), 'GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n')
})

test('a request of HTTP/1.0 without Host gets an empty one', () => {
  assert.is(requestHead(exchange('GET / HTTP/1.0\r\n\r\n'), NO_FIELDS), 'GET / HTTP/1.1\r\nHost: \r\n\r\n')
})

test('response heads: framing, added fields, connection, status line', () => {
  const x = exchange('GET / HTTP/1.1\r\nHost: h\r\n\r\n')
  const res = new Head()
  parseResponseHead(res, 'HTTP/1.0 200 OK\r\nA: 1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nB: 2\r\n\r\n', LIMITS)
  x.addedToResponse = new FieldList('Set-Cookie', 's')
  assert.is(
    responseHead(x, res, BY_CHUNKS, 'Connection: close\r\n'),
    'HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\nTransfer-Encoding: chunked\r\nSet-Cookie: s\r\nConnection: close\r\n\r\n',
  )
  assert.is(responseHead(x, res, NO_BODY, ''), 'HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\nSet-Cookie: s\r\n\r\n')
  for (const line of ['200 OK', '200 Fine', '404 ', '599 x\xe9']) {
    parseResponseHead(res, `HTTP/1.1 ${line}\r\n\r\n`, LIMITS)
    assert.is(statusLine(res), `HTTP/1.1 ${line}\r\n`)
  }
})

test.run()
