// Skein's own connections, fed through fake sockets: ClientConnection for requests, UpstreamConnection for responses. Everything
// behind them is replaced by a recorder of what a server or a client would receive.

import type { Socket } from 'node:net'
import type { DataPlaneOptions } from '../../src/options/options.ts'
import type { Sweep } from '../../src/proxy/forward/deadlines.ts'
import type { Downstream } from '../../src/proxy/forward/downstream.ts'
import { Exchange } from '../../src/proxy/forward/exchange.ts'
import { ClientConnection } from '../../src/proxy/http1/client-connection.ts'
import { ServerTransport } from '../../src/proxy/http1/http1-transport.ts'
import { parseRequestHead, parseResponseHead } from '../../src/proxy/http1/parse-head.ts'
import type { UpstreamConnection } from '../../src/proxy/http1/upstream-connection.ts'
import type { FieldList } from '../../src/proxy/message/field-list.ts'
import type { Fields } from '../../src/proxy/message/fields.ts'
import { ForwardedContext } from '../../src/proxy/message/forwarded-headers.ts'
import { Head } from '../../src/proxy/message/head.ts'
import { admit } from '../../src/proxy/routing/admission.ts'
import { UpstreamServer } from '../../src/proxy/upstream/upstream-server.ts'
import type { UpstreamEvents } from '../../src/proxy/upstream/upstream-stream.ts'
import type { WorkerContext } from '../../src/proxy/worker-context.ts'
import { decodeChunks, type Event, type Outcome } from './events.ts'
import { FakeSocket } from './fake-net.ts'

const LIMITS: DataPlaneOptions['limits'] = {
  headerBytes: 65_536,
  headerCount: 128,
  uriBytes: 16_384,
  connections: 1,
  privateConnections: 1,
  bodyBytes: 0,
}
const TIMEOUTS: DataPlaneOptions['timeouts'] = {
  connectMs: 1,
  responseHeaderMs: 1,
  requestHeaderMs: 1,
  stallMs: 1,
  clientIdleMs: 1,
  upstreamIdleMs: 1,
  tunnelIdleMs: 1,
  noResponseMs: 1,
}
const sweep = { now: 0, add() {}, remove() {} } as unknown as Sweep

const NO_CONTENT = new Head()
parseResponseHead(NO_CONTENT, 'HTTP/1.1 204 No Content\r\n\r\n', LIMITS)

function allFields(fields: Fields): string[] {
  return Array.from({ length: fields.count }, (_, i) => [fields.name(i), fields.value(i)]).flat()
}

/** The fields that soften.ts leaves; the repair of Connection by head-repair.ts is tested elsewhere. */
function withoutConnection(res: Head): string[] {
  const all = allFields(res)
  return all.filter((_, i) => !/^(?:connection|keep-alive)$/i.test(all[i - (i % 2)]!))
}

/** Feeds requests in pieces that end at `cuts`; each request gets a response as soon as it is complete. */
export function readRequests(bytes: Buffer, cuts: readonly number[]): Outcome {
  const events: Event[] = []
  let fed = 0
  let wire = ''
  let refused = ''
  const end = (x: Exchange) => {
    events.push({ kind: 'end', at: fed, body: wire, trailers: [...x.body.trailers.pairs] })
    wire = ''
    x.downstream.onHead(x, NO_CONTENT, 0)
    x.downstream.onEnd(x)
  }
  const forwarder = {
    forward(x: Exchange) {
      events.push({ kind: 'head', at: fed, line: [x.req.method, x.req.target, x.req.minor], fields: allFields(x.req) })
      if (x.body.done) end(x)
    },
    requestBody(_x: Exchange, data: Buffer) {
      wire += data.toString('latin1')
    },
    requestBodyEnd(x: Exchange) {
      x.body.done = true
      end(x)
    },
    abort() {},
    resumeResponse() {},
  }
  const service = {
    name: 's',
    slot: 0,
    breaker: null,
    sessions: null,
    limit: null,
    maxConnKey: null,
    config: { maxConn: null, timeouts: { responseHeaderMs: null, stallMs: null } },
  }
  const route = { router: { name: 'r', passHostHeader: true }, service, chain: null, redirects: false, unavailable: '' }
  const context = {
    options: { limits: LIMITS, timeouts: TIMEOUTS, accessLog: false },
    sweep,
    runtime: { routes: { match: () => route } },
    forwarder,
    counters: { add() {}, finished() {} },
    ids: { next: () => 'id' },
    draining: false,
    log: (_level: string, message: string) => {
      refused = message
    },
    access() {},
  } as unknown as WorkerContext
  const socket = new FakeSocket()
  new ClientConnection(
    socket as unknown as Socket,
    context,
    new ForwardedContext('10.0.0.1', 'http', 'e', false),
    { name: 'web', limits: LIMITS, ping: '', admit },
    () => {},
  )
  let from = 0
  for (const cut of [...cuts, bytes.length]) {
    fed = cut
    if (cut > from) socket.emit('data', bytes.subarray(from, cut))
    from = cut
  }
  return { events, refused }
}

/** Feeds one response with its interim ones. `raw`: chunks are forwarded unchanged, as for an HTTP/1.1 client. */
export function readResponse(bytes: Buffer, cuts: readonly number[], head: boolean, ends: boolean, raw: boolean): Outcome {
  const events: Event[] = []
  let fed = 0
  let body = ''
  let refused = ''
  let chunked = false
  let trailers: readonly string[] = []
  let done = false
  const record = (res: Head) => {
    // An interim response is sent as HTTP/1.1, whatever its version.
    const minor = res.status < 200 && res.status !== 101 ? 1 : res.minor
    events.push({ kind: 'head', at: fed, line: [String(res.status), res.reason, minor], fields: withoutConnection(res) })
  }
  const interimEnd = () => events.push({ kind: 'end', at: fed, body: '', trailers: [] })
  const downstream = {
    takesChunked: raw,
    onInterim(_x: Exchange, res: Head) {
      record(res)
      interimEnd()
    },
    onFlush: () => true,
    onBody(_x: Exchange, buffer: Buffer, from: number, to: number) {
      body += buffer.latin1Slice(from, to)
      return true
    },
    onTunnel(_x: Exchange, res: Head) {
      record(res)
      interimEnd()
      done = true
    },
    onTrailers(_x: Exchange, list: FieldList) {
      trailers = list.pairs
    },
    resumeBody() {},
  } as unknown as Downstream
  const stop = (why: string) => {
    refused ||= why
    done = true
  }
  const upstream: UpstreamEvents = {
    onConnected() {},
    onConnectFailed: (_c, code) => stop(code),
    onNoResponse: (_c, why) => stop(why),
    onResponse({ res }, framing) {
      record(res)
      chunked = framing === 2
    },
    onComplete() {
      const content = chunked && raw ? decodeRaw(body) : { body, trailers: [...trailers] }
      events.push({ kind: 'end', at: fed, body: content.body, trailers: content.trailers })
      done = true
    },
    onSentToServer() {},
    onPrivateClosed() {},
    onWritable() {},
    onSendFailed() {},
    onUploadEnded() {},
    onDeclined() {},
    onBroken: (_c, why) => stop(why),
    onStreamDeadline() {},
  }
  const server = new UpstreamServer(
    { id: 's', scheme: 'http', host: 'h', port: 1, weight: 1, state: 'active', node: '' },
    's',
    one => new ServerTransport(one, { sweep, limits: LIMITS, connectMs: 1, idleMs: 1 }, false),
  )
  const connection = server.transport.open(upstream) as UpstreamConnection
  const socket = connection.socket as unknown as FakeSocket
  const x = new Exchange(downstream, 'web')
  parseRequestHead(x.req, `${head ? 'HEAD' : 'GET'} / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n`, LIMITS)
  x.begin(0)
  connection.begin(x)
  connection.x = x
  let from = 0
  for (const cut of [...cuts, bytes.length]) {
    if (done) break
    fed = cut
    if (cut > from) socket.emit('data', bytes.subarray(from, cut))
    from = cut
  }
  if (!done && ends) socket.emit('end')
  return { events, refused }
}

/** A chunked body as a client receives it: canonical sizes, no extensions, whatever the server sent. */
function decodeRaw(wire: string): { body: string; trailers: string[] } {
  for (let at = 0; ; ) {
    const line = /^(0|[1-9a-f][0-9a-f]*)\r\n/i.exec(wire.slice(at))
    if (line === null) throw new Error(`chunks were forwarded wrongly: ${JSON.stringify(wire)}`)
    if (line[1] === '0') break
    at += line[0].length + Number.parseInt(line[1]!, 16) + 2
  }
  const decoded = decodeChunks(wire)
  if (decoded === null) throw new Error(`chunks were forwarded wrongly: ${JSON.stringify(wire)}`)
  return decoded
}
