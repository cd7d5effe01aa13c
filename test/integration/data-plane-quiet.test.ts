// Quiet connections: a response lasts as long as its client and its server live. Limits apply to a side that does not read what
// waits for it, a stopped upload, a server that does not respond, and an idle tunnel. Every cut is logged with its limit.

import { EventEmitter } from 'node:events'
import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ByteStream } from '../../src/proxy/byte-stream.ts'
import { ClientConnection } from '../../src/proxy/http1/client-connection.ts'
import { NO_FIELDS } from '../../src/proxy/message/field-list.ts'
import { admit } from '../../src/proxy/routing/admission.ts'
import { until } from '../until.ts'
import { Backend, Edge, get, type LogEntry, ok, type ServiceSketch, sleep } from './harness.ts'
import { type RawConnection, statusOf } from './raw-connection.ts'
import { backendOf, pairOf, stopAll, stopLater } from './relay-edges.ts'

test.after.each(stopAll)

type Overrides = NonNullable<Parameters<typeof Edge.start>[1]>
const MiB = 1024 ** 2
/** The limit under test, and a time in which several sweeps beyond it have passed. */
const SHORT_MS = 200
const LONGER_MS = 1000

const WAYS: readonly (readonly [string, (port: number, overrides: Overrides, rest?: Partial<ServiceSketch>) => Promise<Edge>])[] =
  [
    [
      'directly',
      async (port, overrides, rest = {}) => stopLater(await Edge.start({ app: { servers: [port], ...rest } }, overrides)),
    ],
    ['through a peer', async (port, overrides, rest = {}) => (await pairOf([port], rest, overrides)).from],
  ]

async function rawBackend(...parameters: Parameters<typeof Backend.raw>): Promise<Backend> {
  return stopLater(await Backend.raw(...parameters))
}

/** The only line about a cut; it names the limit, the service, the server and the client. */
function cutLine(edge: Edge, pattern: RegExp): LogEntry {
  const lines = edge.logs.filter(entry => pattern.test(entry.message))
  assert.is(lines.length, 1, JSON.stringify(edge.logs))
  const { fields } = lines[0]!
  assert.is(fields.service, 'app')
  assert.is(fields.client, '127.0.0.1')
  assert.match(String(fields.server), /^127\..*:\d+$/)
  return lines[0]!
}

for (const [way, edgeTo] of WAYS) {
  for (const [framing, fields, first, last] of [
    ['in chunks', 'Transfer-Encoding: chunked\r\n', '4\r\nhalf\r\n', '4\r\nrest\r\n0\r\n\r\n'],
    ['by length', 'Content-Length: 8\r\n', 'half', 'rest'],
    ['until the close', '', 'half', 'rest'],
  ] as const) {
    test(`${way}: a response ${framing} may be quiet for longer than every limit`, async () => {
      for (const version of ['1.1', '1.0']) {
        let server: RawConnection | null = null
        const backend = await rawBackend(async connection => {
          server = connection
          await connection.takeThrough('\r\n\r\n')
          connection.write(`HTTP/1.1 200 OK\r\n${fields}\r\n${first}`)
        })
        const timeouts = { stallMs: SHORT_MS, responseHeaderMs: LONGER_MS, tunnelIdleMs: SHORT_MS, clientIdleMs: SHORT_MS }
        const edge = await edgeTo(backend.port, { timeouts })
        const client = await edge.client()
        client.write(`GET / HTTP/${version}\r\nHost: app.test\r\n\r\n`)
        await client.takeThrough('half')
        await sleep(LONGER_MS)
        server!.write(last)
        server!.socket.end()
        await client.takeThrough('rest')
        if (way === 'directly') assert.is(edge.ejections.length, 0)
      }
    })
  }

  test(`${way}: body and response may both be quiet once the response has started`, async () => {
    const backend = await rawBackend(async connection => {
      await connection.takeThrough('\r\n\r\n')
      connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
      await connection.takeThrough('0\r\n\r\n')
      connection.write('4\r\ndone\r\n0\r\n\r\n')
    })
    const edge = await edgeTo(backend.port, { timeouts: { stallMs: SHORT_MS } })
    const client = await edge.client()
    client.write('POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n')
    await client.takeThrough('\r\n\r\n')
    await sleep(LONGER_MS)
    client.write('3\r\ndef\r\n')
    await sleep(LONGER_MS)
    client.write('0\r\n\r\n')
    await client.takeThrough('done\r\n0\r\n\r\n')
  })

  test(`${way}: an upload that stops before its response gets 408, and the log names the limit`, async () => {
    const backend = await rawBackend(() => {})
    const edge = await edgeTo(backend.port, { timeouts: { stallMs: SHORT_MS } })
    const answer = await edge.ask('POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 100\r\n\r\nhalf')
    assert.is(statusOf(answer), 408)
    cutLine(edge, /the client sent no more of the body for 0\.2 s \(--stall-timeout, label skein\.timeout\.stall\)/)
  })

  test(`${way}: a server that does not respond in time is 504, and the log names the limit`, async () => {
    const backend = await rawBackend(() => {})
    const edge = await edgeTo(backend.port, { timeouts: { responseHeaderMs: SHORT_MS } })
    assert.is(statusOf(await edge.ask(get())), 504)
    if (way === 'directly') {
      cutLine(edge, /sent no answer for 0\.2 s \(--response-header-timeout, label skein\.timeout\.responseHeader\)/)
    }
  })

  test(`${way}: a client that uploads but does not read is cut off, and the log names the limit`, async () => {
    const backend = await rawBackend(async connection => {
      await connection.takeThrough('\r\n\r\n')
      connection.write('HTTP/1.1 200 OK\r\n\r\n')
      connection.write(Buffer.alloc(16 * MiB, 'x'))
    })
    const edge = await edgeTo(backend.port, { timeouts: { stallMs: SHORT_MS * 3 } })
    const client = await edge.client()
    client.write('POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n')
    client.socket.pause()
    const timer = setInterval(() => client.write('1\r\nx\r\n'), 20)
    await until('the connection is cut off', () => edge.connections.size === 0)
    clearInterval(timer)
    cutLine(edge, /the client read nothing of the response for 0\.6 s \(--stall-timeout, label skein\.timeout\.stall\)/)
    if (way === 'directly') assert.is(edge.ejections.length, 0)
  })

  test(`${way}: a server that does not read a body: 504 before its response, a reset within it`, async () => {
    for (const answers of [false, true]) {
      const backend = await rawBackend(async connection => {
        if (answers) {
          await connection.takeThrough('\r\n\r\n')
          connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n')
        }
        connection.socket.pause()
      })
      const edge = await edgeTo(backend.port, { timeouts: { stallMs: SHORT_MS } })
      const client = await edge.client()
      client.write(`POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: ${32 * MiB}\r\n\r\n`)
      if (answers) await client.takeThrough('half')
      client.write(Buffer.alloc(32 * MiB, 'x'))
      if (answers) {
        await client.until(() => client.closed || client.ended, 'the break', 60_000)
        assert.is(client.error, 'ECONNRESET')
      } else assert.is(statusOf(await client.takeMessage({ ms: 60_000 })), 504)
      if (way === 'directly') {
        cutLine(edge, /took nothing of the request's body for 0\.2 s \(--stall-timeout, label skein\.timeout\.stall\)/)
      }
      client.destroy()
    }
  })

  test(`${way}: limits of a service take precedence over options, and 0 is none`, async () => {
    const slow = await backendOf(async (_request, connection) => {
      await sleep(LONGER_MS)
      connection.write(ok('late'))
    })
    const short = { timeouts: { responseHeaderMs: SHORT_MS, stallMs: SHORT_MS } }
    const long = { timeouts: { responseHeaderMs: 60_000, stallMs: 60_000 } }
    const upload = 'POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 4\r\n\r\n'

    const patient = await edgeTo(slow.port, short, { timeouts: { responseHeaderMs: 0, stallMs: 0 } })
    assert.is(statusOf(await patient.ask(get())), 200)
    const client = await patient.client()
    client.write(upload)
    await sleep(LONGER_MS)
    client.write('body')
    assert.is(statusOf(await client.takeMessage()), 200)

    const strict = await edgeTo(slow.port, long, { timeouts: { responseHeaderMs: SHORT_MS, stallMs: SHORT_MS } })
    assert.is(statusOf(await strict.ask(get())), 504)
    assert.is(statusOf(await strict.ask(upload)), 408)
  })

  test(`${way}: a tunnel idle for its limit is cut off with a log line; 0 is no limit`, async () => {
    for (const tunnelIdleMs of [SHORT_MS, 0]) {
      let server: RawConnection | null = null
      const backend = await rawBackend(async connection => {
        server = connection
        await connection.takeThrough('\r\n\r\n')
        connection.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n')
      })
      const edge = await edgeTo(backend.port, { timeouts: { tunnelIdleMs } })
      const client = await edge.client()
      client.write(get('/', 'Connection: Upgrade\r\nUpgrade: raw\r\n'))
      await client.takeThrough('\r\n\r\n')
      if (tunnelIdleMs > 0) {
        await client.until(() => client.closed, 'the cut')
        cutLine(edge, /no byte in either direction of the tunnel for 0\.2 s \(--tunnel-idle-timeout\)/)
      } else {
        await sleep(LONGER_MS)
        server!.write('hello')
        await client.takeThrough('hello')
        client.destroy()
        server!.destroy()
      }
    }
  })
}

/** A client whose receive buffer is full: it reads only when the test says so. */
class FullStream extends EventEmitter implements ByteStream {
  writable = true
  writableLength = 0
  writableNeedDrain = false
  readableEnded = false
  reset = false
  write(data: string | Buffer): boolean {
    this.writableLength += data.length
    this.writableNeedDrain = true
    return false
  }
  end(): void {}
  pause(): void {}
  resume(): void {}
  cork(): void {}
  uncork(): void {}
  destroy(): void {
    this.emit('close')
  }
  resetAndDestroy(): void {
    this.reset = true
    this.emit('close')
  }
}

test('a client that reads slowly is cut off only after it reads nothing for the stall time', async () => {
  const backend = await backendOf((_request, connection) => connection.write(ok('x'.repeat(10_000))))
  const edge = stopLater(await Edge.start({ app: { servers: [backend.port] } }, { timeouts: { stallMs: SHORT_MS } }))
  const stream = new FullStream()
  const door = { name: 'web', limits: edge.context.options.limits, ping: '', admit }
  const connection = new ClientConnection(stream, edge.context, { address: '127.0.0.1', fields: () => NO_FIELDS }, door, gone =>
    edge.connections.delete(gone),
  )
  edge.connections.add(connection)
  stream.emit('data', Buffer.from(get()))
  await until('the response waits for the client', () => stream.writableLength > 10_000)
  // Reads on the timer of the deadlines: there is a read between any two checks, however busy the machine is.
  const timer = setInterval(() => {
    stream.writableLength--
  }, 20)
  await sleep(LONGER_MS)
  assert.ok(edge.connections.has(connection))
  assert.not(stream.reset)
  clearInterval(timer)
  await until('the connection is cut off', () => stream.reset)
  cutLine(edge, /the client read nothing of the response for 0\.2 s/)
})

/** The kernel's timer of the connection between two local ports: kind (2: keep-alive) and seconds left; Linux only. */
function kernelTimer(localPort: number, remotePort: number): { readonly kind: number; readonly seconds: number } | null {
  const hex = (port: number) => `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  for (const file of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const line of readFileSync(file, 'latin1').split('\n').slice(1)) {
      const [, local, remote, , , timer] = line.trim().split(/\s+/)
      if (!local?.endsWith(hex(localPort)) || !remote?.endsWith(hex(remotePort))) continue
      const [kind, left] = timer!.split(':')
      return { kind: Number.parseInt(kind!, 16), seconds: Number.parseInt(left!, 16) / 100 }
    }
  }
  return null
}

if (process.platform !== 'linux') console.log('left out: keep-alive timers (they are read from /proc)')
else {
  test('the kernel probes the client and the server of a quiet response', async () => {
    for (const upgrade of [false, true]) {
      let server: Socket | null = null
      const backend = await rawBackend(async connection => {
        server = connection.socket
        await connection.takeThrough('\r\n\r\n')
        connection.write(
          upgrade
            ? 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\nhalf'
            : 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n',
        )
      })
      const edge = stopLater(await Edge.start({ app: { servers: [backend.port] } }))
      const client = await edge.client()
      client.write(get('/', upgrade ? 'Connection: Upgrade\r\nUpgrade: raw\r\n' : ''))
      await client.takeThrough('half')
      const watched = (local: number, remote: number) => {
        const timer = kernelTimer(local, remote)
        return timer !== null && timer.kind === 2 && timer.seconds > 1 && timer.seconds <= 60
      }
      await until('the client is probed', () => watched(edge.port, client.socket.localPort!), 5000)
      await until('the server is probed', () => watched(server!.remotePort!, backend.port), 5000)
      client.destroy()
      server!.destroy()
    }
  })
}

test.run()
