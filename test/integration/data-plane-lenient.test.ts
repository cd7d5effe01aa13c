// Responses of old servers: faults that several of nginx, HAProxy, Caddy and Go accept are repaired; a message that is framed in two
// ways is refused with 502. odd-responses.ts has the tables.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { until } from '../until.ts'
import { Backend, Edge, get, ok } from './harness.ts'
import { CHUNKS, L, MALFORMED_BODIES, REFUSED, REPAIRED, S, T } from './odd-responses.ts'
import { fieldOf, type Message, type RawConnection, statusOf } from './raw-connection.ts'

let bytes = ''
let split = false
let backend: Backend
let edge: Edge

async function send(connection: RawConnection): Promise<void> {
  if (!split) {
    connection.write(bytes)
    return
  }
  for (const byte of Buffer.from(bytes, 'latin1')) {
    connection.write(Buffer.from([byte]))
    await new Promise(resolve => setImmediate(resolve))
  }
}

test.before(async () => {
  backend = await Backend.start((_request, connection) => send(connection))
  edge = await Edge.start({ app: { servers: [backend.port] } })
})

test.before.each(() => {
  split = false
})

test.after(() => {
  edge.stop()
  backend.stop()
})

test.after.each(async () => {
  await until('no request is in flight', () => edge.isIdle)
})

/** The lines without those that Skein adds. */
function linesOf(message: Message): string {
  return message.head.slice(message.startLine.length + 2, -2)
}

/** Checks that the head, as the client received it, contains only what RFC 9112 lets a sender write. */
function assertWritten(message: Message, name: string): void {
  assert.match(message.startLine, /^HTTP\/1\.1 [1-9][0-9][0-9] [\t -~\x80-\xff]*$/, name)
  for (const line of linesOf(message).split('\r\n').slice(0, -1)) {
    assert.match(line, /^[!#-'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*$/, `${name}: ${line}`)
  }
}

test('faults of old servers are repaired, on one connection and byte by byte', async () => {
  for (split of [false, true]) {
    const client = await edge.client()
    for (const [name, answer, lines] of REPAIRED) {
      bytes = answer
      client.write(get())
      let message = await client.takeMessage()
      if (statusOf(message) === 100) {
        assertWritten(message, name)
        message = await client.takeMessage()
      }
      assert.is(statusOf(message), 200, name)
      assertWritten(message, name)
      assert.is(linesOf(message), lines, name)
      assert.is(message.body.toString(), 'hello', name)
    }
    client.destroy()
  }
})

test('an HTTP/1.0 client gets the same responses without chunks', async () => {
  for (const [name, answer] of REPAIRED) {
    bytes = answer
    const message = await edge.ask('GET / HTTP/1.0\r\nHost: app.test\r\n\r\n')
    assert.is(statusOf(message), 200, name)
    assert.is(fieldOf(message.head, 'transfer-encoding'), undefined, name)
    assert.is(message.body.toString(), 'hello', name)
  }
})

test('a head ends at its first empty line, whichever line ends follow', async () => {
  for (split of [false, true]) {
    for (const [answer, body] of [
      ['HTTP/1.1 200 OK\nX: y\n\nContent-Length: 5\r\n\r\nhello', 'Content-Length: 5\r\n\r\nhello'],
      [`${S}X: y\n\r\nTransfer-Encoding: chunked\r\n\r\n${CHUNKS}`, `Transfer-Encoding: chunked\r\n\r\n${CHUNKS}`],
      [`${S}X: y\r\n\nHTTP/1.1 200 OK\r\n\r\n`, 'HTTP/1.1 200 OK\r\n\r\n'],
    ] as const) {
      const end = await Backend.start(async (_request, connection) => {
        bytes = answer
        await send(connection)
        connection.socket.end()
      })
      const own = await Edge.start({ app: { servers: [end.port] } })
      assert.is((await own.ask(get())).body.toString(), body)
      own.stop()
      end.stop()
    }
  }
})

test('a response framed in two ways or beyond repair is 502, and none of it is forwarded', async () => {
  for (split of [false, true]) {
    for (const [name, answer] of REFUSED) {
      bytes = answer
      const message = await edge.ask(get())
      assert.is(statusOf(message), 502, name)
      assert.not.match(message.head, /^(?:x|x-one):/im, name)
      const id = fieldOf(message.head, 'x-request-id')
      assert.is(edge.logs.filter(entry => entry.fields.requestId === id && entry.level === 'warn').length, 1, name)
    }
  }
  assert.equal(edge.ejections, [])
})

/** The client's view of a chunked response: all bytes after the head, and whether the connection was reset. */
async function wire(): Promise<{ text: string; reset: boolean; status: number }> {
  const client = await edge.client()
  client.write(get())
  const head = await client.takeThrough('\r\n\r\n')
  await client.until(() => /(?:^|\r\n)0\r\n\r\n$/.test(client.peek()) || client.closed || client.ended, 'the end')
  const text = client.peek()
  client.destroy()
  return { text, reset: client.error !== '', status: Number(head.slice(9, 12)) }
}

test('a malformed body ends with a reset after its valid part', async () => {
  for (split of [false, true]) {
    for (const [name, chunks] of MALFORMED_BODIES) {
      bytes = `${S}${T}\r\n${chunks}`
      const { text, reset, status } = await wire()
      if (status === 502) continue
      assert.ok(reset, `${name}: ${JSON.stringify(text)}`)
      assert.match(text, /^(?:5\r\nhell?o?(?:\r\n)?)?$/, `${name}: ${JSON.stringify(text)}`)
    }
  }
  assert.equal(edge.ejections, [])
})

test('chunk size lines that are not canonical are rewritten, wherever they are split', async () => {
  const odd = '5 ;x\r\nhello\r\n0003;a=b\r\nabc\r\n2\r\nde\r\nA\r\n0123456789\r\n00 \r\n\r\n'
  const head = `${S}${T}\r\n`
  const canonical = '5\r\nhello\r\n3\r\nabc\r\n2\r\nde\r\n(?:A|a)\r\n0123456789\r\n0\r\n\r\n'
  for (let cut = head.length; cut < head.length + odd.length; cut++) {
    const halves = await Backend.start(async (_request, connection) => {
      connection.write((head + odd).slice(0, cut))
      await new Promise(resolve => setTimeout(resolve, 3))
      connection.write((head + odd).slice(cut))
    })
    const own = await Edge.start({ app: { servers: [halves.port] } })
    const client = await own.client()
    client.write(get())
    await client.takeThrough('\r\n\r\n')
    await client.until(() => client.peek().endsWith('\r\n0\r\n\r\n'), `the end, cut at ${cut}`)
    assert.match(client.peek(), new RegExp(`^${canonical}$`))
    own.stop()
    halves.stop()
  }
  split = true
  bytes = head + odd
  assert.match((await wire()).text, new RegExp(`^${canonical}$`))
})

test('a long body with padded sizes and odd extensions passes completely', async () => {
  const chunk = `${'1f4'.padEnd(8)}; ext=${'x'.repeat(60)}\r\n${'y'.repeat(500)}\r\n`
  bytes = `${S}${T}\r\n${chunk.repeat(2000)}0\r\n\r\n`
  const message = await edge.ask(get())
  assert.is(message.body.length, 1_000_000)
})

test('trailers are repaired, and fields that are not allowed there are removed', async () => {
  for (split of [false, true]) {
    for (const [sent, passed] of [
      ['X-A: b\r\n', 'X-A: b\r\n'],
      ['X-A : b\r\n', 'X-A: b\r\n'],
      ['X-A: b\r\n\tc\r\nX-D: \x01e\r\n', 'X-A: b c\r\nX-D: e\r\n'],
      ['X-A: b\r\nContent-Length: 3\r\nX-C: d\r\n', 'X-A: b\r\nX-C: d\r\n'],
      ['Transfer-Encoding: chunked\r\nConnection : close\r\nX-Forwarded-For: 1.1.1.1\r\n', ''],
    ] as const) {
      bytes = `${S}${T}\r\n5\r\nhello\r\n0 \r\n${sent}\r\n`
      const message = await edge.ask(get())
      assert.is(message.body.toString(), 'hello', sent)
      assert.is(message.trailers, passed)
    }
  }
})

test('repairs are logged once per server and minute, as a warning if bytes were removed', async () => {
  for (const [answer, level, words] of [
    [`${S}X: \x01\r\n${L}\r\nhello`, 'warn', /control characters/],
    [`HTTP/1.1 200 OK\nX : y\r\n${L}\r\nhello`, 'info', /bare LF.*before a colon/],
    [`HTTP/1.1 103 Hints\r\nLink : x\r\n\r\n${ok()}`, 'info', /before a colon/],
  ] as const) {
    bytes = answer
    const own = await Edge.start({ app: { servers: [backend.port] } })
    const client = await own.client()
    for (let i = 0; i < 20; i++) {
      client.write(get())
      while (statusOf(await client.takeMessage()) === 103) {}
    }
    assert.is(own.logs.length, 1)
    assert.is(own.logs[0]!.level, level)
    assert.match(own.logs[0]!.message, words)
    assert.match(own.logs[0]!.message, new RegExp(`127\\.0\\.0\\.1:${backend.port}`))
    own.stop()
  }
})

test('connections are reused after repaired responses unless Connection was unreadable', async () => {
  for (const [answer, reused] of [
    [`HTTP/1.1 200 OK\nX : y\n${L}\nhello`, true],
    [`${S}Connection: Keep-Alive; timeout=60\r\n${L}\r\nhello`, true],
    [`${S}Connection: Keep-Alive; timeout=1\r\n${L}\r\nhello`, false],
    [`${S}Connection: close; x\r\n${L}\r\nhello`, false],
    [`${S}Connection: "close"\r\n${L}\r\nhello`, false],
    [`HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\n${S}${L}\r\nhello`, false],
    [`HTTP/1.0 200 OK\r\nConnection: Keep-Alive; timeout=60\r\n${L}\r\nhello`, true],
    [`HTTP/1.0 200 OK\n${L}\nhello`, false],
  ] as const) {
    bytes = answer
    const own = await Edge.start({ app: { servers: [backend.port] } })
    const before = backend.accepted
    for (let i = 0; i < 3; i++) {
      const client = await own.client()
      client.write(get())
      let message = await client.takeMessage()
      if (statusOf(message) === 100) message = await client.takeMessage()
      assert.is(message.body.toString(), 'hello', answer)
      client.destroy()
    }
    assert.is(backend.accepted - before, reused ? 1 : 3, answer)
    own.stop()
  }
})

test.run()
