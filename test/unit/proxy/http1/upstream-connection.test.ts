// A connection to a server over a stream in memory, with the forwarder: the bytes of a request, and the order of the events of a
// response.

import { EventEmitter } from 'node:events'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ByteStream } from '../../../../src/proxy/byte-stream.ts'
import type { Exchange } from '../../../../src/proxy/forward/exchange.ts'
import { Http1Transport } from '../../../../src/proxy/http1/http1-transport.ts'
import { serverHead } from '../../../../src/proxy/http1/write-head.ts'
import type { FieldList } from '../../../../src/proxy/message/field-list.ts'
import { snapshotOf, testOptions } from '../../../integration/harness.ts'
import { testMiddlewares } from '../../../integration/test-middlewares.ts'
import { until } from '../../../until.ts'
import { MemoryClient, MemoryWorker } from '../forward/memory-codec.ts'

/** A socket that is connected in the next turn and records what is written. */
class RecordingStream extends EventEmitter {
  written = ''
  destroyed = false
  readonly writable = true
  writableNeedDrain = false
  readonly writableLength = 0
  readonly readableEnded = false

  constructor() {
    super()
    setImmediate(() => this.emit('connect'))
  }

  write(data: string | Buffer): boolean {
    this.written += data.toString('latin1')
    return !this.writableNeedDrain
  }

  receive(text: string): void {
    this.emit('data', Buffer.from(text, 'latin1'))
  }

  destroy(): void {
    this.destroyed = true
  }

  resetAndDestroy(): void {
    this.destroyed = true
  }

  end(): void {}
  cork(): void {}
  uncork(): void {}
  pause(): void {}
  resume(): void {}
}

class RecordingTransport extends Http1Transport {
  readonly lenient = true
  readonly streams: RecordingStream[] = []

  dial(): ByteStream {
    const stream = new RecordingStream()
    this.streams.push(stream)
    return stream
  }

  requestHead(x: Exchange): string {
    return serverHead(x, this.server)
  }
}

/** Records what reaches the client, in order. */
class RecordingClient extends MemoryClient {
  readonly seen: string[] = []

  override onBody(x: Exchange, buffer: Buffer, from: number, to: number): boolean {
    this.seen.push(buffer.latin1Slice(from, to))
    return super.onBody(x, buffer, from, to)
  }

  override onTrailers(x: Exchange, trailers: FieldList): void {
    this.seen.push(trailers.pairs.join('='))
    super.onTrailers(x, trailers)
  }

  override onEnd(x: Exchange): void {
    this.seen.push('end')
    super.onEnd(x)
  }

  override onBroken(x: Exchange): void {
    this.seen.push('broken')
    super.onBroken(x)
  }
}

const workers: MemoryWorker[] = []
test.after.each(() => {
  for (const worker of workers.splice(0)) worker.stop()
})

function setUp(middleware: Readonly<{ kind: string }> | null = null) {
  const { limits } = testOptions()
  const transports: RecordingTransport[] = []
  const middlewares: Parameters<typeof snapshotOf>[1] = middleware === null ? {} : { one: middleware as never }
  const worker = new MemoryWorker(
    snapshotOf({ app: { servers: [1] } }, middlewares),
    { middlewares: testMiddlewares().registry },
    (server, sweep) => {
      const transport = new RecordingTransport(server, { sweep, limits, connectMs: 60_000, idleMs: 60_000 })
      transports.push(transport)
      return transport
    },
  )
  workers.push(worker)
  const client = new RecordingClient(worker)
  /** The first connection, once the head of a request is written to it. */
  const stream = () => until('a request is written', () => transports[0]!.streams.find(one => one.written !== ''))
  return { worker, client, stream }
}

/** What follows the first empty line. */
function bodyOf({ written }: RecordingStream): string {
  return written.slice(written.indexOf('\r\n\r\n') + 4)
}

test('empty content of an upload writes nothing: it does not end the body at the server', async () => {
  const { worker, client, stream } = setUp()
  const upload = client.request('POST', '/', {}, true)
  upload.send('')
  upload.send('one')
  const socket = await stream()
  for (const text of ['', 'two', '']) upload.send(text)
  assert.is(bodyOf(socket), '3\r\none\r\n3\r\ntwo\r\n')
  upload.end()
  assert.is(bodyOf(socket), '3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n')
  socket.receive('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
  assert.equal([(await upload.over).status, socket.destroyed], [200, false])
  assert.ok(worker.quiet)
})

test('empty content while the server reads slowly leaves the upload paused', async () => {
  const { client, stream } = setUp()
  const upload = client.request('POST', '/', {}, true)
  upload.send('one')
  const socket = await stream()
  socket.writableNeedDrain = true
  upload.send('two')
  assert.ok(upload.bodyPaused)
  upload.bodyPaused = false
  upload.send('')
  assert.ok(upload.bodyPaused)
})

const RESPONSE = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n'

test('content, trailers and end of a response, in this order', async () => {
  const { worker, client, stream } = setUp()
  const call = client.request('GET', '/')
  ;(await stream()).receive(RESPONSE)
  assert.equal([client.seen, call.state], [['abc', 'X-Sum=1', 'end'], 'ended'])
  assert.ok(worker.quiet)
})

test('what a response filter writes at its end comes before the trailers', async () => {
  const { worker, client, stream } = setUp({ kind: 'brackets' })
  const call = client.request('GET', '/')
  ;(await stream()).receive(RESPONSE)
  assert.equal([client.seen, call.state], [['<', 'abc', '>', 'X-Sum=1', 'end'], 'ended'])
  assert.ok(worker.quiet)
})

test('a response filter that fails at its end: the response is broken and no trailers follow', async () => {
  const { worker, client, stream } = setUp({ kind: 'endFails' })
  const call = client.request('GET', '/')
  const socket = await stream()
  socket.receive(RESPONSE)
  assert.equal([client.seen, call.state, socket.destroyed], [['abc', 'broken'], 'broken', true])
  assert.ok(worker.quiet)
})

test.run()
