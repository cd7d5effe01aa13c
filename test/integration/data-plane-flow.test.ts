// Bodies stream in both directions at the pace of the slower side, in bounded memory. A side that disconnects is noticed by the other,
// and a cut response never looks complete.

import { connect, createServer, type Socket } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { until } from '../until.ts'
import { Backend, Edge, get, ok, sleep } from './harness.ts'
import { statusOf } from './raw-connection.ts'

const MiB = 1024 ** 2
const open: { stop(): void }[] = []

async function edgeOf(port: number, overrides: Parameters<typeof Edge.start>[1] = {}): Promise<Edge> {
  const edge = await Edge.start({ app: { servers: [port] } }, overrides)
  open.push(edge)
  return edge
}

/** A server on a socket that keeps nothing of what it reads. */
async function plainServer(onSocket: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    onSocket(socket)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  open.push({
    stop: () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  })
  return (server.address() as { port: number }).port
}

async function rawBackend(...parameters: Parameters<typeof Backend.raw>): Promise<Backend> {
  const backend = await Backend.raw(...parameters)
  open.push(backend)
  return backend
}

test.after.each(async () => {
  for (const one of open) if (one instanceof Edge) await until('no request is in flight', () => one.isIdle)
  for (const one of open.splice(0)) one.stop()
})

const BLOCK = Buffer.alloc(65_536, 'x')

/** Writes `total` bytes at the pace of the other side. */
async function pour(socket: Socket, total: number, encode: (block: Buffer) => Buffer = block => block): Promise<void> {
  for (let left = total; left > 0 && !socket.destroyed; left -= BLOCK.length) {
    const block = left >= BLOCK.length ? BLOCK : BLOCK.subarray(0, left)
    if (socket.write(encode(block))) continue
    await new Promise<void>(resolve => {
      const go = () => {
        socket.off('drain', go).off('close', go)
        resolve()
      }
      socket.on('drain', go).on('close', go)
    })
  }
}

const asChunk = (block: Buffer) => Buffer.concat([Buffer.from(`${block.length.toString(16)}\r\n`), block, Buffer.from('\r\n')])

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/**
 * Peak of what buffers hold (without what is only not collected yet) while `work` runs, above what it was before; MiB. Looks every
 * 20 ms; on a slow machine, where a look takes long, less often: the work must get most of the time.
 */
async function peakOf(work: Promise<unknown>): Promise<number> {
  collectGarbage()
  collectGarbage()
  const before = process.memoryUsage().arrayBuffers
  let peak = 0
  let timer: NodeJS.Timeout | undefined
  const look = (): void => {
    const since = performance.now()
    // What the first finds is freed by another thread; the second waits for that.
    collectGarbage()
    collectGarbage()
    peak = Math.max(peak, process.memoryUsage().arrayBuffers - before)
    timer = setTimeout(look, Math.max(20, 3 * (performance.now() - since)))
  }
  look()
  try {
    await work
  } finally {
    clearTimeout(timer)
  }
  return peak / MiB
}

async function open100(port: number, head: string): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  socket.on('error', () => {})
  await new Promise(resolve => socket.once('connect', resolve))
  socket.write(head)
  return socket
}

test('100 MiB up, by length and in chunks, in bounded memory', async () => {
  for (const chunked of [false, true]) {
    let got = 0
    const port = await plainServer(socket => {
      let tail = ''
      socket.on('data', (chunk: Buffer) => {
        got += chunk.length
        tail = (tail + chunk.subarray(-8).toString('latin1')).slice(-8)
        if (chunked ? tail.endsWith('\r\n0\r\n\r\n') : got >= 100 * MiB) socket.write(ok('done'))
      })
    })
    const edge = await edgeOf(port)
    const head = `POST / HTTP/1.1\r\nHost: app.test\r\n${chunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${100 * MiB}`}\r\n\r\n`
    const client = await open100(edge.port, head)
    const answered = new Promise<string>(resolve => client.once('data', chunk => resolve(chunk.toString())))
    const peak = await peakOf(
      pour(client, 100 * MiB, chunked ? asChunk : undefined).then(() => {
        if (chunked) client.write('0\r\n\r\n')
        return answered
      }),
    )
    assert.match(await answered, /^HTTP\/1.1 200 OK/)
    assert.ok(got >= 100 * MiB)
    assert.ok(peak < 50, `${peak.toFixed(1)} MiB`)
    client.destroy()
  }
})

test('100 MiB down, by length, in chunks and until close', async () => {
  for (const kind of ['length', 'chunks', 'close']) {
    const port = await plainServer(socket => {
      socket.once('data', () => {
        const field =
          kind === 'length' ? `Content-Length: ${100 * MiB}\r\n` : kind === 'chunks' ? 'Transfer-Encoding: chunked\r\n' : ''
        socket.write(`HTTP/1.1 200 OK\r\n${field}\r\n`)
        void pour(socket, 100 * MiB, kind === 'chunks' ? asChunk : undefined).then(() => {
          if (kind === 'chunks') socket.write('0\r\n\r\n')
          else if (kind === 'close') socket.end()
        })
      })
    })
    const edge = await edgeOf(port)
    const client = await open100(edge.port, get())
    let got = 0
    let tail = ''
    const peak = await peakOf(
      new Promise<void>(resolve => {
        client.on('data', (chunk: Buffer) => {
          got += chunk.length
          tail = (tail + chunk.subarray(-8).toString('latin1')).slice(-8)
          if (kind === 'length' ? got > 100 * MiB : tail.endsWith('\r\n0\r\n\r\n')) resolve()
        })
      }),
    )
    assert.ok(got >= 100 * MiB)
    assert.ok(peak < 50, `${kind}: ${peak.toFixed(1)} MiB`)
    client.destroy()
  }
})

test('a server that reads slowly pauses the client', async () => {
  let server: Socket | null = null
  const port = await plainServer(socket => {
    server = socket
    socket.pause()
  })
  const edge = await edgeOf(port)
  const client = await open100(edge.port, `POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: ${64 * MiB}\r\n\r\n`)
  const poured = pour(client, 64 * MiB)
  await until('a connection', () => server !== null)
  let before = -1
  await until('the client is stopped', () => {
    const now = client.bytesWritten - client.writableLength
    const still = now === before
    before = now
    return still && now > 0
  }).catch(() => {})
  await sleep(300)
  assert.ok(client.writableLength > 0, 'the client cannot write on')
  assert.ok(edge.context.forwarder.inFlight === 1)
  let got = 0
  server!.on('data', (chunk: Buffer) => {
    got += chunk.length
    if (got > 64 * MiB) server!.write(ok('done'))
  })
  server!.resume()
  await poured
  await new Promise(resolve => client.once('data', resolve))
  client.destroy()
})

test('a slow client gets everything; one that never reads is cut off after the stall time', async () => {
  const port = await plainServer(socket => {
    socket.once('data', () => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${32 * MiB}\r\n\r\n`)
      void pour(socket, 32 * MiB)
    })
  })
  const edge = await edgeOf(port, { timeouts: { stallMs: 500 } })
  const slow = await open100(edge.port, get())
  let got = 0
  let cutOff = false
  slow.on('data', (chunk: Buffer) => {
    got += chunk.length
    slow.pause()
    setTimeout(() => slow.resume(), 1)
  })
  slow.on('close', () => {
    cutOff = true
  })
  const never = await open100(edge.port, get())
  never.pause()
  await until('both are under way', () => edge.forwarder.inFlight === 2)
  const peak = await peakOf(until('the slow one has all', () => got > 32 * MiB || cutOff, 90_000))
  assert.ok(got > 32 * MiB, `the slow one was cut off after ${got} bytes`)
  assert.ok(peak < 25, `${peak.toFixed(1)} MiB`)
  await until('the one that never reads was ended', () => edge.isIdle)
  assert.is(edge.counters(1).aborted, 1)
  assert.is(edge.ejections.length, 0)
  slow.destroy()
  never.destroy()
})

test('a client that pipelines and never reads uses bounded memory', async () => {
  const big = 'x'.repeat(8000)
  const backend = await Backend.start((_request, connection) => connection.write(ok(big)))
  open.push(backend)
  const edge = await edgeOf(backend.port, { timeouts: { stallMs: 1000 } })
  for (const path of ['/', '*']) {
    const client = await open100(edge.port, '')
    client.pause()
    const request = path === '*' ? 'OPTIONS * HTTP/1.1\r\nHost: app.test\r\n\r\n' : get()
    const many = Buffer.from(request.repeat(2000))
    const peak = await peakOf(
      (async () => {
        for (let i = 0; i < 300 && !client.destroyed; i++) {
          if (client.write(many)) continue
          // It may never drain: whoever does not read is not read from.
          await new Promise<void>(resolve => {
            const go = (): void => {
              clearTimeout(timer)
              client.off('drain', go)
              resolve()
            }
            const timer = setTimeout(go, 300)
            client.once('drain', go)
          })
        }
        await until('it is ended', () => client.destroyed || edge.connections.size === 0, 60_000)
      })(),
    )
    assert.ok(peak < 25, `${path}: ${peak.toFixed(1)} MiB`)
    client.destroy()
  }
})

test('a client that disconnects cancels the request at the server', async () => {
  for (const how of ['destroy', 'reset']) {
    const backend = await rawBackend(async connection => {
      await connection.takeThrough('\r\n\r\n')
    })
    const edge = await edgeOf(backend.port)
    const client = await edge.client()
    client.write(get())
    await until('the request is there', () => backend.connections.length === 1)
    await sleep(20)
    if (how === 'destroy') client.destroy()
    else client.socket.resetAndDestroy()
    assert.ok(await backend.connections[0]!.ends(), how)
    await until('nothing is under way', () => edge.isIdle)
    assert.is(edge.counters(1).aborted, 1)
  }
})

test('a client that disconnects during upload or download cancels it', async () => {
  const backend = await rawBackend(async connection => {
    const head = await connection.takeThrough('\r\n\r\n')
    if (head.startsWith('GET')) connection.write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf')
  })
  // A client that closes in the middle of a quiet answer cannot be told from one that has ended its side only.
  const edge = await edgeOf(backend.port, { timeouts: { stallMs: 1000 } })
  for (const request of ['POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1000\r\n\r\nhalf', get()]) {
    const n = backend.connections.length
    const client = await edge.client()
    client.write(request)
    await until('the request is there', () => backend.connections.length === n + 1)
    await sleep(20)
    client.destroy()
    assert.ok(await backend.connections[n]!.ends())
  }
})

test('a cut response ends the client connection with a reset', async () => {
  const torn: readonly (readonly [string, string, boolean])[] = [
    ['HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf', 'HTTP/1.1', false],
    ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n', 'HTTP/1.1', false],
    ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n', 'HTTP/1.0', false],
    ['HTTP/1.1 200 OK\r\n\r\nhalf', 'HTTP/1.1', true],
    ['HTTP/1.1 200 OK\r\n\r\nhalf', 'HTTP/1.0', true],
  ]
  for (const [bytes, version, reset] of torn) {
    const backend = await rawBackend(async connection => {
      await connection.takeThrough('\r\n\r\n')
      connection.write(bytes)
      await sleep(50)
      if (reset) connection.socket.resetAndDestroy()
      else connection.socket.end()
    })
    const edge = await edgeOf(backend.port)
    const client = await edge.client()
    client.write(`GET / ${version}\r\nHost: app.test\r\n\r\n`)
    assert.is(statusOf({ startLine: (await client.takeThrough('\r\n\r\n')).split('\r\n')[0]! } as never), 200)
    await client.until(() => client.closed || client.ended, 'the break')
    await sleep(20)
    assert.is(client.error, 'ECONNRESET', `${bytes} to ${version}`)
    assert.not.match(client.peek(), /0\r\n\r\n$/)
    assert.ok(edge.logs.some(entry => entry.level === 'warn'))
  }
})

test('invalid chunks: 502 with the head, a reset later', async () => {
  const answerHead = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
  const backend = await rawBackend(async connection => {
    const head = await connection.takeThrough('\r\n\r\n')
    if (head.includes('/later')) {
      connection.write(`${answerHead}3\r\nabc\r\n`)
      await sleep(30)
      connection.write('zz\r\n')
    } else connection.write(`${answerHead}zz\r\n`)
  })
  const edge = await edgeOf(backend.port)
  assert.is(statusOf(await edge.ask(get('/first'))), 502)
  const client = await edge.client()
  client.write(get('/later'))
  await client.takeThrough('abc\r\n')
  assert.ok(await client.ends())
  assert.is(client.error, 'ECONNRESET')
})

test('an early response passes, and the upload continues', async () => {
  const backend = await rawBackend(async connection => {
    await connection.takeThrough('\r\n\r\n')
    connection.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly')
    await connection.take(1000)
    connection.socket.end()
  })
  const edge = await edgeOf(backend.port)
  const client = await edge.client()
  client.write('POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1000\r\n\r\nhalf')
  assert.is((await client.takeMessage()).body.toString(), 'early')
  client.write(`xx${get('/smuggled')}`.padEnd(996, 'x'))
  assert.ok(await backend.connections[0]!.ends(), 'the server has all of the body')
  await until('the request is over', () => edge.isIdle)
  assert.is(client.peek(), '')
  assert.is(backend.connections.length, 1)
})

test('an invalid chunk after the head cuts the response; no local reply is mixed in', async () => {
  const backend = await rawBackend(async connection => {
    await connection.takeThrough('\r\n\r\n')
    connection.write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nearly')
  })
  const edge = await edgeOf(backend.port)
  const client = await edge.client()
  client.write('POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n')
  await client.takeThrough('early')
  client.write('zz\r\n')
  assert.ok(await client.ends())
  assert.is(client.peek(), '')
})

test.run()
