// Streaming responses: the head is sent as soon as it arrives, however long the body takes, directly and through a peer.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Backend, Edge, get, ok } from './harness.ts'
import { fieldOf, type RawConnection, statusOf } from './raw-connection.ts'
import { backendOf, pairOf, stopAll, stopLater } from './relay-edges.ts'

test.after.each(stopAll)

/** Two ways to a server: directly, and through a peer. */
const WAYS: readonly (readonly [string, (port: number) => Promise<Edge>])[] = [
  ['directly', async port => stopLater(await Edge.start({ app: { servers: [port] } }))],
  ['through a peer', async port => (await pairOf([port])).from],
]

async function rawBackend(...parameters: Parameters<typeof Backend.raw>): Promise<Backend> {
  return stopLater(await Backend.raw(...parameters))
}

/** A promise with its resolver. */
function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = (): void => {}
  const opened = new Promise<void>(resolve => {
    open = resolve
  })
  return { opened, open: () => open() }
}

for (const [way, edgeTo] of WAYS) {
  for (const version of ['HTTP/1.1', 'HTTP/1.0']) {
    for (const [framing, fields, body] of [
      ['in chunks', 'Transfer-Encoding: chunked\r\n', '4\r\nlate\r\n0\r\n\r\n'],
      ['by length', 'Content-Length: 4\r\n', 'late'],
      ['until the close', '', 'late'],
    ] as const) {
      test(`${way}, ${version}, a body ${framing}: the head is sent before the body's first byte`, async () => {
        const body4 = gate()
        const backend = await rawBackend(async connection => {
          await connection.takeThrough('\r\n\r\n')
          connection.write(`HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n${fields}\r\n`)
          await body4.opened
          connection.write(body)
          connection.socket.end()
        })
        const edge = await edgeTo(backend.port)
        const client = await edge.client()
        client.write(`GET / ${version}\r\nHost: app.test\r\n\r\n`)
        const head = await client.takeThrough('\r\n\r\n')
        assert.match(head, /^HTTP\/1\.1 200 OK\r\n/)
        assert.is(fieldOf(head, 'content-type'), 'text/event-stream')
        assert.is(client.peek(), '', 'nothing but the head')
        body4.open()
        if (version === 'HTTP/1.0') {
          assert.is((await client.takeAll()).toString(), 'late')
          assert.is(client.error, '')
        } else if (framing === 'by length') assert.is((await client.take(4)).toString(), 'late')
        else assert.is(await client.takeThrough('0\r\n\r\n'), '4\r\nlate\r\n0\r\n\r\n')
      })
    }
  }

  test(`${way}: a client that sends its body only after the response head is served`, async () => {
    for (const framing of ['Transfer-Encoding: chunked', 'Content-Length: 10']) {
      const backend = await rawBackend(async connection => {
        const head = await connection.takeThrough('\r\n\r\n')
        connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
        const body = head.includes('chunked') ? await connection.takeThrough('0\r\n\r\n') : await connection.take(10)
        assert.match(body.toString(), /hello/)
        connection.write('5\r\nheard\r\n0\r\n\r\n')
        await connection.takeThrough('\r\n\r\n')
        connection.write(ok('next'))
      })
      const edge = await edgeTo(backend.port)
      const client = await edge.client()
      client.write(`POST / HTTP/1.1\r\nHost: app.test\r\n${framing}\r\n\r\n`)
      await client.takeThrough('\r\n\r\n')
      client.write(framing.includes('chunked') ? '5\r\nhello\r\n' : 'hello')
      client.write(framing.includes('chunked') ? '0\r\n\r\n' : 'world')
      assert.is(await client.takeThrough('0\r\n\r\n'), '5\r\nheard\r\n0\r\n\r\n')
      client.write(get('/next'))
      assert.is((await client.takeMessage()).body.toString(), 'next')
    }
  })

  test(`${way}: request and response in turns, each side waiting for the other`, async () => {
    const backend = await rawBackend(async connection => {
      await connection.takeThrough('\r\n\r\n')
      connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
      for (let n = 0; n < 20; n++) {
        await connection.takeThrough(`ping ${n}`)
        connection.write(`7\r\npong ${String(n).padStart(2, '0')}\r\n`)
      }
      await connection.takeThrough('0\r\n\r\n')
      connection.write('0\r\n\r\n')
      await connection.takeThrough('\r\n\r\n')
      connection.write(ok('next'))
    })
    const edge = await edgeTo(backend.port)
    const client = await edge.client()
    client.write('POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n')
    await client.takeThrough('\r\n\r\n')
    for (let n = 0; n < 20; n++) {
      const ping = `ping ${n}`
      client.write(`${ping.length.toString(16)}\r\n${ping}\r\n`)
      await client.takeThrough(`pong ${String(n).padStart(2, '0')}\r\n`)
    }
    client.write('0\r\n\r\n')
    assert.is(await client.takeThrough('0\r\n\r\n'), '0\r\n\r\n')
    client.write(get('/next'))
    assert.is((await client.takeMessage()).body.toString(), 'next')
  })

  test(`${way}: 1xx heads are sent at once, one by one, followed by the final head`, async () => {
    const gates = [gate(), gate(), gate()]
    const backend = await rawBackend(async connection => {
      await connection.takeThrough('\r\n\r\n')
      connection.write('HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n')
      await gates[0]!.opened
      connection.write('HTTP/1.1 103 Early Hints\r\nLink: </b.css>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chu')
      await gates[1]!.opened
      connection.write('nked\r\n\r\n')
      await gates[2]!.opened
      connection.write('0\r\n\r\n')
    })
    const edge = await edgeTo(backend.port)
    const client = await edge.client()
    client.write(get())
    assert.match(await client.takeThrough('\r\n\r\n'), /^HTTP\/1\.1 103 .*a\.css/s)
    gates[0]!.open()
    assert.match(await client.takeThrough('\r\n\r\n'), /^HTTP\/1\.1 103 .*b\.css/s)
    gates[1]!.open()
    assert.match(await client.takeThrough('\r\n\r\n'), /^HTTP\/1\.1 200 /)
    gates[2]!.open()
    assert.is(await client.takeThrough('0\r\n\r\n'), '0\r\n\r\n')
  })

  test(`${way}: a head that arrives in pieces is sent whole, its stream byte by byte`, async () => {
    const head = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n'
    const stream = '2\r\n:\n\r\n'
    let connected: RawConnection | null = null
    const backend = await rawBackend(connection => {
      connected = connection
    })
    const edge = await edgeTo(backend.port)
    const client = await edge.client()
    client.write(get())
    await backendHead(() => connected)
    for (const byte of head) await step(connected!, byte)
    assert.match(await client.takeThrough('\r\n\r\n'), /^HTTP\/1\.1 200 OK\r\n/)
    for (let n = 0; n < 5; n++) {
      for (const byte of stream) await step(connected!, byte)
      assert.is(await client.takeThrough(':\n\r\n'), stream)
    }
    connected!.write('0\r\n\r\n')
    assert.is(await client.takeThrough('0\r\n\r\n'), '0\r\n\r\n')
  })

  test(`${way}: responses before, within and after the request all arrive complete`, async () => {
    for (const order of ['before', 'within', 'after']) {
      for (const method of ['GET', 'POST']) {
        const rest = gate()
        const backend = await rawBackend(async connection => {
          if (order !== 'before') await connection.takeThrough('\r\n\r\n')
          if (order === 'after' && method === 'POST') await connection.take(8)
          connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n')
          await rest.opened
          connection.write('4\r\nrest\r\n0\r\n\r\n')
        })
        const edge = await edgeTo(backend.port)
        const client = await edge.client()
        const post = 'POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 8\r\n\r\n'
        client.write(method === 'GET' ? get() : order === 'within' ? `${post}body` : `${post}bodybody`)
        await client.takeThrough('half\r\n')
        if (method === 'POST' && order === 'within') client.write('body')
        rest.open()
        assert.is(await client.takeThrough('0\r\n\r\n'), '4\r\nrest\r\n0\r\n\r\n', `${order} ${method}`)
      }
    }
  })

  test(`${way}: a break after the head alone is a reset, not a 502 and not a retry`, async () => {
    const backend = await rawBackend(async connection => {
      await connection.takeThrough('\r\n\r\n')
      connection.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n')
      await seen.opened
      connection.socket.end()
    })
    const seen = gate()
    const edge = await edgeTo(backend.port)
    const client = await edge.client()
    client.write(get())
    assert.is(statusOf({ startLine: await client.takeThrough('\r\n\r\n') } as never), 200)
    seen.open()
    await client.until(() => client.closed || client.ended, 'the break')
    assert.is(client.error, 'ECONNRESET')
    assert.not(client.ended, 'no FIN before the reset')
    assert.is(backend.accepted, 1)
  })
}

/** Waits until the backend has a connection with a complete request head. */
async function backendHead(connection: () => RawConnection | null): Promise<void> {
  const end = performance.now() + 30_000
  while (connection() === null && performance.now() < end) await new Promise(resolve => setTimeout(resolve, 2))
  await connection()!.takeThrough('\r\n\r\n')
}

/** One separate write: resolves when the kernel has it, so that the next write is not merged with it. */
function step(connection: RawConnection, bytes: string): Promise<void> {
  return new Promise(resolve => {
    connection.socket.write(bytes, 'latin1', () => setImmediate(resolve))
  })
}

test('a head and body bytes that arrive in one read are sent in one write', async () => {
  const backend = await backendOf((_request, connection) => connection.write(ok('x'.repeat(1000))))
  const edge = stopLater(await Edge.start({ app: { servers: [backend.port] } }))
  const client = await edge.client()
  let pieces = 0
  client.socket.on('data', () => pieces++)
  for (let n = 1; n <= 50; n++) {
    client.write(get())
    await client.takeMessage()
    assert.is(pieces, n)
  }
})

test.run()
