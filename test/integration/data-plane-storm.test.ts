// Clients and servers that behave at random, repeatably, while the configuration changes. No client gets the response of another, no
// response is cut without a reset, and no request is left in flight.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Random } from '../fuzz/random.ts'
import { until } from '../until.ts'
import { Backend, type BackendRequest, Edge, sleep, snapshotOf } from './harness.ts'
import { fieldOf, type Message, RawConnection, statusOf } from './raw-connection.ts'

const SECONDS = 4
const CLIENTS = 24

/** The answer to a request is made from its path and body alone, so that a client can tell whether it is his. */
function bodyFor(request: { readonly startLine: string; readonly body: Buffer }): string {
  const path = request.startLine.split(' ')[1]!
  return `${path} ${request.body.length} ${'x'.repeat(Number(/-(\d+)$/.exec(path)?.[1] ?? 0))}`
}

function misbehave(random: Random, request: BackendRequest, connection: RawConnection): void | Promise<void> {
  const body = bodyFor(request)
  const head = `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`
  const chunked = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
  const chunk = (text: string) => (text === '' ? '' : `${text.length.toString(16)}\r\n${text}\r\n`)
  const half = Math.floor(body.length / 2)
  if (request.startLine.startsWith('HEAD')) {
    connection.write(head)
    return
  }
  switch (random.below(16)) {
    case 0:
      return void connection.socket.resetAndDestroy()
    case 1:
      return void connection.socket.end()
    case 2:
      connection.write((head + body).slice(0, random.below(head.length + half)))
      return void connection.socket.resetAndDestroy()
    case 3:
      connection.write(chunked + chunk(body.slice(0, half)))
      return void connection.socket.end()
    case 4:
      connection.write(`HTTP/1.1 103 Hi\r\n\r\n${chunked}${chunk(body)}0\r\nX-T: y\r\n\r\n`)
      return
    case 5:
      connection.write(`HTTP/1.1 200 OK\r\n\r\n${body}`)
      return void connection.socket.end()
    case 6:
      connection.write(`HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
      return void connection.socket.end()
    case 7:
      connection.write(`${head}${body}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`)
      return
    case 8:
      connection.write('HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n')
      return
    case 9:
      return sleep(random.below(80)).then(() => connection.write(head + body))
    case 10:
      connection.write(head)
      return sleep(random.below(10)).then(() => connection.write(body))
    case 11:
      connection.write(chunked)
      return sleep(2).then(() => connection.write(`${chunk(body.slice(0, half))}${chunk(body.slice(half))}0\r\n\r\n`))
    default:
      connection.write(head + body)
      return
  }
}

interface Tally {
  asked: number
  right: number
  own: number
  broken: number
}

async function client(edge: Edge, random: Random, name: number, running: () => boolean, tally: Tally): Promise<void> {
  for (let round = 0; running(); round++) {
    const connection = await RawConnection.open(edge.port)
    try {
      while (running()) {
        // A few requests at once, pipelined.
        const many = random.chance(0.3) ? 1 + random.below(6) : 1
        const sent: { path: string; size: number; method: string }[] = []
        let bytes = ''
        for (let i = 0; i < many; i++) {
          const path = `/${name}.${round}.${tally.asked++}-${random.chance(0.1) ? 300_000 : random.below(3000)}`
          const method = random.pick(['GET', 'GET', 'GET', 'HEAD', 'POST', 'PUT'])
          const size = method === 'POST' || method === 'PUT' ? random.below(random.chance(0.1) ? 200_000 : 2000) : 0
          const body = 'b'.repeat(size)
          bytes += `${method} ${path} HTTP/1.1\r\nHost: app.test\r\n`
          if (size > 0 && random.chance(0.5))
            bytes += `Transfer-Encoding: chunked\r\n\r\n${size.toString(16)}\r\n${body}\r\n0\r\n\r\n`
          else bytes += `${size > 0 ? `Content-Length: ${size}\r\n` : ''}\r\n${body}`
          sent.push({ path, size, method })
        }
        const cut = random.below(bytes.length)
        if (random.chance(0.05)) {
          // Off in the middle of it.
          connection.write(bytes.slice(0, cut))
          await sleep(random.below(5))
          if (random.chance(0.5)) connection.socket.resetAndDestroy()
          else connection.destroy()
          break
        }
        if (random.chance(0.3)) {
          connection.write(bytes.slice(0, cut))
          await sleep(random.below(5))
          connection.write(bytes.slice(cut))
        } else connection.write(bytes)
        if (random.chance(0.05)) {
          await sleep(random.below(30))
          connection.destroy()
          break
        }
        let closes = false
        for (const { path, size, method } of sent) {
          if (closes) break
          let message: Message
          do message = await connection.takeMessage({ noBody: method === 'HEAD' })
          while (statusOf(message) < 200)
          closes = fieldOf(message.head, 'connection') === 'close'
          if (fieldOf(message.head, 'x-request-id') !== undefined) {
            assert.ok([502, 503, 504].includes(statusOf(message)), message.startLine)
            tally.own++
            continue
          }
          assert.is(statusOf(message), 200)
          if (method !== 'HEAD') {
            const want = bodyFor({ startLine: `${method} ${path}`, body: Buffer.alloc(size) })
            if (message.body.toString() !== want)
              throw new Mixed(`${message.body.toString().slice(0, 80)} instead of ${want.slice(0, 80)}`)
          }
          tally.right++
        }
        if (closes) break
      }
    } catch (error) {
      if (error instanceof Mixed || (error as Error).name === 'Assertion') throw error
      // A torn answer: then the connection must be broken, or ended before a complete one.
      if (!connection.ended && !connection.closed) throw error
      tally.broken++
    } finally {
      connection.destroy()
    }
  }
}

class Mixed extends Error {}

test('random clients, servers and configuration changes: no mixed or torn response', async () => {
  const random = new Random(Number(process.env.STORM_SEED ?? 7))
  const backends = await Promise.all(
    [1, 2, 3, 4].map(() => Backend.start((request, connection) => misbehave(random, request, connection))),
  )
  const edge = await Edge.start(
    { app: { servers: backends.map(b => b.port), maxConn: { amount: 1000, by: 'client.ip' } } },
    { timeouts: { noResponseMs: 200, stallMs: 1500, responseHeaderMs: 1500 } },
  )
  const end = performance.now() + SECONDS * 1000
  const tally: Tally = { asked: 0, right: 0, own: 0, broken: 0 }
  const clients = Array.from({ length: CLIENTS }, (_, n) => client(edge, new Random(n), n, () => performance.now() < end, tally))
  const changes = (async () => {
    while (performance.now() < end) {
      const servers = backends
        .filter(() => random.chance(0.8))
        .map(b => ({
          port: b.port,
          weight: 1 + random.below(3),
          state: random.chance(0.1) ? ('draining' as const) : ('active' as const),
        }))
      edge.apply(snapshotOf({ app: { servers, maxConn: { amount: 1000, by: 'client.ip' } } }))
      await sleep(random.below(50))
    }
  })()
  await Promise.all([...clients, changes])
  await until('no request is in flight', () => edge.isIdle && edge.connections.size === 0)
  const { inFlight, requests } = edge.counters(1)
  assert.is(inFlight, 0)
  assert.ok(requests > 500, `${requests} requests`)
  assert.is(edge.service().limit!.size, 0, 'all places were given back')
  assert.ok(tally.right > tally.own && tally.right > 300, JSON.stringify(tally))
  edge.stop()
  for (const backend of backends) backend.stop()
})

test.run()
