// Responses on the wire: one write for a small one, chunks where only the close delimits a body, and HTTP/1.0.

import type { Socket } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Downstream } from '../../../../src/proxy/forward/downstream.ts'
import { Exchange } from '../../../../src/proxy/forward/exchange.ts'
import { parseRequestHead, parseResponseHead } from '../../../../src/proxy/http1/parse-head.ts'
import { ResponseWriter } from '../../../../src/proxy/http1/response-writer.ts'
import { BY_CHUNKS, BY_CLOSE, BY_LENGTH, type Framing, NO_BODY } from '../../../../src/proxy/message/framing.ts'
import { Head } from '../../../../src/proxy/message/head.ts'

const LIMITS = { headerBytes: 1000, headerCount: 10, uriBytes: 100 }

function writerFor(version: '1.0' | '1.1') {
  const writes: string[] = []
  let flowing = true
  const socket = {
    write(data: string | Buffer) {
      writes.push(data.toString('latin1'))
      return flowing
    },
    cork() {},
    uncork() {},
  }
  const x = new Exchange({} as Downstream, 'web')
  assert.is(parseRequestHead(x.req, `GET / HTTP/${version}\r\nHost: h\r\n\r\n`, LIMITS) || x.begin(1), 0)
  const head = new Head()
  parseResponseHead(head, 'HTTP/1.1 200 OK\r\nX: y\r\n\r\n', LIMITS)
  const writer = new ResponseWriter(socket as unknown as Socket)
  const stop = () => {
    flowing = false
  }
  return { x, head, writer, writes, stop }
}

function respond(version: '1.0' | '1.1', framing: Framing, body: string, close = false): string[] {
  const { x, head, writer, writes } = writerFor(version)
  writer.begin(x, head, framing, close)
  assert.ok(writer.revocable)
  const bytes = Buffer.from(`<${body}>`)
  writer.body(x, bytes, 1, bytes.length - 1)
  assert.is(writer.revocable, body === '')
  writer.end()
  assert.not(writer.revocable)
  assert.is(x.bytesOut, body.length)
  return writes
}

const HEAD = 'HTTP/1.1 200 OK\r\nX: y\r\n'

test('a small response is one write, a large one two, one without a body the head alone', () => {
  assert.equal(respond('1.1', BY_LENGTH, 'hello'), [`${HEAD}\r\nhello`])
  const large = 'a'.repeat(10_000)
  assert.equal(respond('1.1', BY_LENGTH, large), [`${HEAD}\r\n`, large])
  assert.equal(respond('1.1', NO_BODY, ''), [`${HEAD}\r\n`])
  assert.equal(respond('1.1', NO_BODY, '', true), [`${HEAD}Connection: close\r\n\r\n`])
})

test('a flushed head is written once, and the body follows alone', () => {
  const { x, head, writer, writes } = writerFor('1.1')
  writer.begin(x, head, BY_LENGTH, false)
  assert.ok(writer.flush())
  assert.not(writer.revocable)
  assert.ok(writer.flush())
  writer.body(x, Buffer.from('hello'), 0, 5)
  assert.ok(writer.flush())
  writer.end()
  assert.equal(writes, [`${HEAD}\r\n`, 'hello'])
})

test('a client that does not take the head at once pauses the response', () => {
  const { x, head, writer, stop } = writerFor('1.1')
  stop()
  writer.begin(x, head, BY_LENGTH, false)
  assert.not(writer.flush())
})

test('a body delimited by close becomes chunks in HTTP/1.1 and stays as it is in 1.0', () => {
  const chunked = `${HEAD}Transfer-Encoding: chunked\r\n\r\n`
  assert.equal(respond('1.1', BY_CLOSE, 'hello'), [`${chunked}5\r\nhello\r\n`, '0\r\n\r\n'])
  assert.equal(respond('1.1', BY_CLOSE, ''), [`${chunked}0\r\n\r\n`])
  assert.equal(respond('1.1', BY_CHUNKS, '0\r\n\r\n'), [`${chunked}0\r\n\r\n`], 'received chunks are forwarded unchanged')
  assert.equal(respond('1.0', BY_CLOSE, 'hello', true), [`${HEAD}Connection: close\r\n\r\nhello`])
  assert.equal(respond('1.0', BY_LENGTH, 'hello'), [`${HEAD}Connection: keep-alive\r\n\r\nhello`])
})

test('empty content writes nothing: it does not end a body in chunks', () => {
  const { x, head, writer, writes } = writerFor('1.1')
  const empty = Buffer.alloc(0)
  writer.begin(x, head, BY_CLOSE, false)
  writer.body(x, empty, 0, 0)
  assert.ok(writer.revocable)
  writer.flush()
  for (const data of [empty, Buffer.from('hello'), empty]) writer.body(x, data, 0, data.length)
  assert.equal(writes, [`${HEAD}Transfer-Encoding: chunked\r\n\r\n`, '5\r\nhello\r\n'])
  writer.end()
  assert.equal(writes.slice(2), ['0\r\n\r\n'])
})

test('a revoked head is never written; a client that does not read is reported', () => {
  const { x, head, writer, writes, stop } = writerFor('1.1')
  writer.begin(x, head, BY_LENGTH, false)
  assert.ok(writer.revocable)
  writer.local(x, 502, true)
  assert.is(writes.length, 1)
  assert.match(writes[0]!, /^HTTP\/1\.1 502 /)
  writer.begin(x, head, BY_LENGTH, false)
  stop()
  assert.is(writer.body(x, Buffer.from('a'), 0, 1), false)
  assert.is(writer.body(x, Buffer.from('a'), 1, 1), true, 'nothing to write')
})

test('interim heads are sent to HTTP/1.1 clients only', () => {
  const early = new Head()
  parseResponseHead(early, 'HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n', LIMITS)
  const [new1, old] = [writerFor('1.1'), writerFor('1.0')]
  new1.writer.interim(new1.x, early)
  old.writer.interim(old.x, early)
  assert.equal(new1.writes, ['HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n'])
  assert.equal(old.writes, [])
})

test('probe bytes written ahead are part of the response that follows, of any kind', () => {
  for (const ahead of [0, 1, 5, 9, 12]) {
    const { x, head, writer, writes } = writerFor('1.1')
    for (let i = 1; i <= ahead; i++) assert.is(writer.probe(), i < 9)
    assert.is(writes.join(''), 'HTTP/1.1 '.slice(0, ahead))
    writer.interim(x, head)
    assert.is(writes.join(''), `${HEAD}\r\n`, 'an interim response')
    writes.length = 0
    for (let i = 1; i <= ahead; i++) writer.probe()
    writer.begin(x, head, BY_LENGTH, false)
    writer.local(x, 502, true)
    assert.match(writes.join(''), /^HTTP\/1\.1 502 Bad Gateway\r\n/, 'a local reply instead of a response that was begun')
    writes.length = 0
    for (let i = 1; i <= ahead; i++) writer.probe()
    writer.begin(x, head, NO_BODY, false)
    writer.end()
    assert.is(writes.join(''), `${HEAD}\r\n`, 'a final response')
    writes.length = 0
    writer.begin(x, head, NO_BODY, false)
    writer.end()
    assert.is(writes.join(''), `${HEAD}\r\n`, 'the next response')
  }
})

test.run()
