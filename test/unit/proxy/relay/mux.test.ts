// Streams within one TLS connection, both ends in this process: bytes, windows, half-close, breaks, pings, and a side that does
// not keep to the rules.

import type { AddressInfo } from 'node:net'
import { connect, createServer, type TLSSocket } from 'node:tls'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { DATA, FrameQueue, FrameReader, PING, PONG, STREAM_WINDOW } from '../../../../src/proxy/relay/frames.ts'
import { Mux } from '../../../../src/proxy/relay/mux.ts'
import type { MuxStream } from '../../../../src/proxy/relay/mux-stream.ts'
import { STREAM_RESET } from '../../../../src/proxy/upstream/upstream-stream.ts'
import { pskClientOptions, pskKey, pskServerOptions } from '../../../../src/util/psk-channel.ts'
import { until } from '../../../until.ts'

const KEY = pskKey('secret', 'skein-test/1')
const ends: (() => void)[] = []
test.after.each(() => {
  for (const end of ends.splice(0)) end()
})

async function sockets(): Promise<[TLSSocket, TLSSocket]> {
  const server = createServer(pskServerOptions([KEY], 'skein-test/1'))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const accepted = new Promise<TLSSocket>(resolve => server.once('secureConnection', resolve))
  const near = connect({
    ...pskClientOptions(KEY, 'skein-test/1'),
    host: '127.0.0.1',
    port: (server.address() as AddressInfo).port,
  })
  const far = await accepted
  if (!near.authorized) await new Promise<void>(resolve => near.once('secureConnect', resolve))
  server.close()
  for (const socket of [near, far]) socket.on('error', () => {})
  ends.push(
    () => near.destroy(),
    () => far.destroy(),
  )
  return [near, far]
}

interface Pair {
  readonly near: Mux
  readonly far: Mux
  /** What the near side opened, and what came on each. */
  readonly opened: MuxStream[]
  readonly came: ReturnType<typeof collect>[]
  readonly events: string[]
}

async function pairOf(idleMs = 60_000): Promise<Pair> {
  const [a, b] = await sockets()
  const opened: MuxStream[] = []
  const came: ReturnType<typeof collect>[] = []
  const events: string[] = []
  const near = new Mux(a, true, idleMs, {
    onStream: null,
    onLeave: () => void events.push('leave'),
    onGone: () => void events.push('near gone'),
  })
  const far = new Mux(b, true, idleMs, {
    onStream(stream) {
      opened.push(stream)
      came.push(collect(stream))
    },
    onLeave: () => {},
    onGone: () => void events.push('far gone'),
  })
  ends.push(
    () => near.destroy('closed'),
    () => far.destroy('closed'),
  )
  return { near, far, opened, came, events }
}

/** Everything that comes on a stream, and how it ended. */
function collect(stream: MuxStream): { text: string; bytes: number; how: string[] } {
  const got = { text: '', bytes: 0, how: [] as string[] }
  stream.on('data', (chunk: Buffer) => {
    got.bytes += chunk.length
    if (got.text.length < 1000) got.text += chunk.toString('latin1')
  })
  for (const event of ['end', 'close']) stream.on(event, () => got.how.push(event))
  stream.on('error', (error: NodeJS.ErrnoException) => got.how.push(error.code ?? ''))
  return got
}

test('concurrent streams carry their own bytes both ways', async () => {
  const { near, far, opened, came } = await pairOf()
  const streams = Array.from({ length: 200 }, () => near.open())
  const answers = streams.map(collect)
  for (const [i, stream] of streams.entries()) stream.write(`request ${i}`)
  await until('all are open', () => opened.length === 200)
  assert.equal(
    came.map(one => one.text),
    streams.map((_, i) => `request ${i}`),
  )
  for (const [i, stream] of opened.entries()) stream.write(Buffer.from(`answer ${i}`))
  await until('all answers', () => answers.every(answer => answer.text !== ''))
  assert.equal(
    answers.map(answer => answer.text),
    streams.map((_, i) => `answer ${i}`),
  )
  for (const stream of [...streams, ...opened]) stream.end()
  await until('all are over', () => near.streams.size === 0 && far.streams.size === 0)
})

test('unread bytes wait at the sender beyond the window, then all arrive', async () => {
  const { near, opened, came } = await pairOf()
  const stream = near.open()
  stream.write('first')
  await until('open', () => opened.length === 1)
  const [taker] = opened
  taker!.pause()
  const got = came[0]!
  const chunk = Buffer.alloc(100_000, 'x')
  let flowing = true
  for (let i = 0; i < 50; i++) flowing = stream.write(chunk)
  assert.not(flowing)
  assert.ok(stream.writableLength >= 5_000_000 - STREAM_WINDOW)
  stream.write('the end')
  stream.end()
  await new Promise(resolve => setTimeout(resolve, 50))
  assert.is(got.bytes, 5)
  let drained = false
  stream.on('drain', () => {
    drained = true
  })
  taker!.resume()
  await until('everything', () => got.how.includes('end'))
  assert.is(got.bytes, 5_000_012)
  assert.ok(drained)
  assert.is(stream.writableLength, 0)
})

test('a stream that is not read does not block others', async () => {
  const { near, opened, came } = await pairOf()
  const [stuck, other] = [near.open(), near.open()]
  stuck.write('s')
  other.write('o')
  await until('open', () => opened.length === 2)
  opened[0]!.pause()
  stuck.write(Buffer.alloc(2_000_000))
  const got = came[1]!
  for (let i = 0; i < 20; i++) other.write(Buffer.alloc(50_000))
  await until('the other has all', () => got.bytes === 1_000_001)
})

test('each direction ends separately; a reset ends both', async () => {
  const { near, far, opened, came } = await pairOf()
  const stream = near.open()
  const answer = collect(stream)
  stream.write('question')
  stream.end()
  await until('open', () => opened.length === 1)
  const question = came[0]!
  assert.is(question.text, 'question')
  await until('the end of the question', () => question.how.includes('end'))
  assert.not(stream.writable)
  opened[0]!.write('answer')
  opened[0]!.end()
  await until('closed', () => answer.how.includes('close'))
  assert.is(answer.text, 'answer')
  assert.equal(answer.how, ['end', 'close'])
  const broken = near.open()
  const seen = collect(broken)
  broken.write('x')
  await until('open', () => opened.length === 2)
  opened[1]!.destroy()
  await until('closed', () => seen.how.includes('close'))
  assert.equal(seen.how, [STREAM_RESET, 'close'])
  assert.is(near.streams.size + far.streams.size, 0)
})

test('a broken connection fails its streams', async () => {
  const { near, far, opened, events } = await pairOf()
  const stream = near.open()
  const seen = collect(stream)
  stream.write('x')
  await until('open', () => opened.length === 1)
  far.destroy('ECONNRESET')
  await until('closed', () => seen.how.includes('close'))
  assert.equal(seen.how, ['ECONNRESET', 'close'])
  assert.equal(events.sort(), ['far gone', 'near gone'])
})

test('after LEAVE no stream is opened, and the connection ends with the last one', async () => {
  const { near, far, opened, events } = await pairOf()
  const stream = near.open()
  const seen = collect(stream)
  stream.write('x')
  await until('open', () => opened.length === 1)
  far.leave()
  await until('told', () => near.leaving)
  assert.equal(events, ['leave'])
  opened[0]!.write('still served')
  await until('served', () => seen.text === 'still served')
  stream.destroy()
  await until('over', () => far.gone && near.gone)
})

test('after LEAVE the connection ends in bounded time without a response', async () => {
  const [a, b] = await sockets()
  const far = new Mux(b, true, 60_000, { onStream: () => {}, onLeave: () => {}, onGone: () => {} })
  a.pause()
  far.leave()
  await new Promise(resolve => setTimeout(resolve, 500))
  assert.not(far.gone, 'a stream may still be on its way')
  await until('over', () => far.gone)
})

test('an idle connection is closed after the idle time', async () => {
  const { near, far } = await pairOf(1000)
  await until('closed', () => near.gone && far.gone)
})

test('a peer that stops responding while streams are open is disconnected', async () => {
  const [a, b] = await sockets()
  const near = new Mux(a, true, 60_000, { onStream: null, onLeave: () => {}, onGone: () => {} })
  b.pause()
  const seen = collect(near.open())
  await until('given up', () => seen.how.includes('close'))
  assert.equal(seen.how, ['ETIMEDOUT', 'close'])
})

test('bytes beyond the window end the connection', async () => {
  const [a, b] = await sockets()
  const opened: MuxStream[] = []
  const far = new Mux(b, true, 60_000, {
    onStream: stream => {
      stream.pause()
      opened.push(stream)
    },
    onLeave: () => {},
    onGone: () => {},
  })
  const queue = new FrameQueue()
  for (let i = 0; i < 5; i++) queue.add(DATA, 1, 65_536, Buffer.alloc(65_536))
  a.write(queue.take())
  await until('ended', () => far.gone)
  assert.is(opened.length, 1)
})

test('a peer that pings and never reads does not fill memory with responses', async () => {
  const [a, b] = await sockets()
  let pongs = 0
  const far = new Mux(b, true, 60_000, { onStream: () => {}, onLeave: () => {}, onGone: () => {} })
  far.congested = true
  const reader = new FrameReader({ onFrame: type => void (pongs += type === PONG ? 1 : 0), onPayload() {}, onBadFrame() {} })
  a.on('data', (chunk: Buffer) => reader.read(chunk))
  const queue = new FrameQueue()
  for (let i = 0; i < 1000; i++) queue.add(PING, 0, 0)
  a.write(queue.take())
  await new Promise(resolve => setTimeout(resolve, 50))
  assert.is(pongs, 0)
  far.congested = false
  queue.add(PING, 0, 0)
  a.write(queue.take())
  await until('answered again', () => pongs === 1)
})

test('an old stream number opens no stream, and its bytes are ignored', async () => {
  const [a, b] = await sockets()
  let opened = 0
  const far = new Mux(b, true, 60_000, {
    onStream: stream => {
      opened++
      stream.destroy()
    },
    onLeave: () => {},
    onGone: () => {},
  })
  const queue = new FrameQueue()
  for (const id of [5, 3, 5, 4, 6]) queue.add(DATA, id, 3, 'abc')
  a.write(queue.take())
  await until('the fifth and the sixth', () => opened === 2)
  await new Promise(resolve => setTimeout(resolve, 20))
  assert.is(opened, 2)
  assert.not(far.gone)
  far.destroy('closed')
})

test.run()
