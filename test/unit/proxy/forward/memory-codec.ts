// A codec without sockets for tests of the forwarder: MemoryClient is the downstream of a multiplexed protocol (several exchanges on
// one connection, heads as name/value pairs, bodies as content), MemoryTransport reaches servers whose handlers run in this process.
// MemoryWorker joins them with the data plane's own routing, forwarder, breakers and accounting. Not a test itself.

import type { Snapshot } from '../../../../src/config/model.ts'
import type { DataPlaneOptions } from '../../../../src/options/options.ts'
import type { ByteStream } from '../../../../src/proxy/byte-stream.ts'
import { createCounters, readCounters, WorkerCounters } from '../../../../src/proxy/counters.ts'
import { finish, noteAborted, noteFailed } from '../../../../src/proxy/forward/accounting.ts'
import { Sweep } from '../../../../src/proxy/forward/deadlines.ts'
import type { Downstream } from '../../../../src/proxy/forward/downstream.ts'
import { Exchange } from '../../../../src/proxy/forward/exchange.ts'
import { Forwarder } from '../../../../src/proxy/forward/forwarder.ts'
import { FieldList, NO_FIELDS } from '../../../../src/proxy/message/field-list.ts'
import { DROPPED, STRIDE } from '../../../../src/proxy/message/fields.ts'
import { BY_CHUNKS, type Framing, NO_BODY } from '../../../../src/proxy/message/framing.ts'
import type { Head } from '../../../../src/proxy/message/head.ts'
import { RequestIds } from '../../../../src/proxy/message/request-ids.ts'
import { ADMITTED, admit } from '../../../../src/proxy/routing/admission.ts'
import { Runtime } from '../../../../src/proxy/runtime.ts'
import type { RuntimeService } from '../../../../src/proxy/runtime-service.ts'
import type { UpstreamServer } from '../../../../src/proxy/upstream/upstream-server.ts'
import {
  CLOSED,
  CONNECTING,
  READING,
  type Transport,
  UPLOADING,
  type UpstreamEvents,
  UpstreamStream,
  WAITING,
} from '../../../../src/proxy/upstream/upstream-stream.ts'
import type { WorkerContext } from '../../../../src/proxy/worker-context.ts'
import { type Overrides, testOptions } from '../../../integration/harness.ts'

type Fields = Readonly<Record<string, string>>

// ---- servers ----

/** One request, as a server in memory sees it, and what the server does with it. */
export interface ServerCall {
  readonly method: string
  readonly target: string
  readonly host: string
  /** Content that has arrived. */
  body: string
  trailers: FieldList
  /** The body is complete. */
  complete: boolean
  /** Called when content or the end arrives. */
  onBody: () => void
  /** The proxy has reset the stream. */
  closed: boolean
  /** Sends a head and `parts` of content; with `trailers` or without `open` also the end. */
  respond(status: number, fields?: Fields, parts?: readonly string[], rest?: { open?: boolean; trailers?: FieldList }): void
  data(text: string): void
  finish(trailers?: FieldList): void
  /** Breaks the stream. `protocol`: with bytes that are no valid response. */
  reset(protocol?: boolean): void
  /** True while the proxy has asked for a pause. */
  readonly paused: boolean
}

export interface MemoryServer {
  /** What a connect results in. `hang`: nothing until its timeout. */
  accepts: 'yes' | 'refused' | 'hang'
  handle: (call: ServerCall) => void
  /** The write of the end of a body fails at once. */
  failsEnd?: boolean
  /** Streams that were opened. */
  opened: number
  /** Streams that carry a request. */
  readonly calls: ServerCall[]
}

class MemoryStream extends UpstreamStream implements ServerCall {
  method = ''
  target = ''
  host = ''
  body = ''
  trailers = NO_FIELDS
  complete = false
  onBody = () => {}
  closed = false
  private readonly events: UpstreamEvents
  private readonly sweep: Sweep
  private readonly peer: MemoryServer

  constructor(server: UpstreamServer, peer: MemoryServer, events: UpstreamEvents, sweep: Sweep, connectMs: number) {
    super(server, sweep.now + connectMs)
    this.events = events
    this.sweep = sweep
    this.peer = peer
    peer.opened++
    sweep.add(this)
    setImmediate(() => {
      if (this.phase !== CONNECTING) return
      if (peer.accepts === 'yes') events.onConnected(this)
      else if (peer.accepts === 'refused') {
        this.close()
        events.onConnectFailed(this, 'ECONNREFUSED')
      }
    })
  }

  send(x: Exchange): boolean {
    this.phase = WAITING
    this.method = x.method
    this.target = x.sendTarget()
    this.host = x.sendHost ?? x.authority
    if (x.body.held !== null) for (const data of x.body.held) this.body += data.toString()
    this.complete = x.body.done
    this.trailers = x.body.trailers
    setImmediate(() => {
      if (this.phase === CLOSED) return
      this.peer.calls.push(this)
      this.peer.handle(this)
    })
    return true
  }

  write(data: Buffer): boolean {
    this.body += data.toString()
    setImmediate(() => this.onBody())
    return true
  }

  end(x: Exchange): boolean {
    if (this.peer.failsEnd === true) {
      this.writeFailed = 'EPIPE'
      this.events.onSendFailed(this)
      return false
    }
    this.complete = true
    this.trailers = x.body.trailers
    setImmediate(() => this.onBody())
    return true
  }

  get writable(): boolean {
    return true
  }

  get unsentBytes(): number {
    return 0
  }

  resume(): void {
    this.paused = false
  }

  continueUpload(): void {
    this.phase = UPLOADING
  }

  /** A stream of a multiplexed connection carries one exchange. */
  recycle(): boolean {
    this.close()
    return false
  }

  closeAfterFlush(): void {
    this.close()
  }

  destroy(): void {
    this.close()
  }

  detach(): ByteStream {
    throw new Error('no tunnels in memory')
  }

  onDeadline(nowMs: number): void {
    this.events.onStreamDeadline(this, nowMs)
  }

  // ---- ServerCall ----

  respond(
    status: number,
    fields: Fields = {},
    parts: readonly string[] = [],
    rest: { open?: boolean; trailers?: FieldList } = {},
  ) {
    const x = this.x
    if (this.phase !== WAITING || x === null) return
    const { res } = this
    res.begin()
    res.status = status
    for (const [name, value] of Object.entries(fields)) res.add(name, value)
    const hasBody = parts.length > 0 || rest.open === true
    if (res.finish(testOptions().limits, hasBody) !== 0) throw new Error(res.problem)
    this.gotByte = true
    this.responses++
    this.phase = READING
    const framing: Framing = hasBody ? BY_CHUNKS : NO_BODY
    this.events.onResponse(this, framing)
    for (const part of parts) this.data(part)
    if (rest.open !== true) this.finish(rest.trailers)
  }

  data(text: string): void {
    const { x } = this
    if (this.phase !== READING || x === null) return
    const bytes = Buffer.from(text)
    if (!x.onResponseBody(bytes, 0, bytes.length)) this.paused = true
  }

  finish(trailers: FieldList = NO_FIELDS): void {
    const { x } = this
    if (this.phase !== READING || x === null) return
    if (!trailers.isEmpty && !x.onResponseTrailers(trailers)) return
    this.events.onComplete(this)
  }

  reset(protocol = false): void {
    const { phase } = this
    if (phase === CLOSED) return
    this.close()
    if (phase === WAITING) this.events.onNoResponse(this, 'ECONNRESET', protocol)
    else if (phase === READING) this.events.onBroken(this, 'ECONNRESET', protocol)
    else if (phase === UPLOADING) this.events.onUploadEnded(this)
  }

  private close(): void {
    this.phase = CLOSED
    this.closed = true
    this.sweep.remove(this)
  }
}

// ---- clients ----

/** An exchange as its client sees it. */
export interface ClientCall {
  status: number
  fields: FieldList
  body: string
  trailers: FieldList
  /** `open`, `ended`, `broken`, or `local` for a local reply. */
  state: 'open' | 'ended' | 'broken' | 'local'
  /** The forwarder has asked to pause the request's body. */
  bodyPaused: boolean
  send(text: string): void
  end(trailers?: FieldList): void
  /** The client resets this exchange only. */
  abort(): void
  /** Resolves when the exchange is over. */
  readonly over: Promise<ClientCall>
}

class MemoryCall implements ClientCall {
  status = 0
  fields = NO_FIELDS
  body = ''
  trailers = NO_FIELDS
  state: ClientCall['state'] = 'open'
  bodyPaused = false
  readonly x: Exchange
  readonly over: Promise<ClientCall>
  private readonly worker: MemoryWorker
  private resolve: (call: ClientCall) => void = () => {}

  constructor(client: MemoryClient, worker: MemoryWorker) {
    this.x = new Exchange(client, 'web')
    this.worker = worker
    this.over = new Promise(resolve => {
      this.resolve = resolve
    })
  }

  send(text: string): void {
    const data = Buffer.from(text)
    this.x.bytesIn += data.length
    this.worker.forwarder.requestBody(this.x, data)
  }

  end(trailers: FieldList = NO_FIELDS): void {
    this.x.body.trailers = trailers
    this.worker.forwarder.requestBodyEnd(this.x)
  }

  abort(): void {
    noteAborted(this.worker.context, this.x)
    if (!this.x.cancelWait()) this.worker.forwarder.abort(this.x)
    finish(this.worker.context, this.x, 499)
    this.close('broken')
  }

  close(state: ClientCall['state']): void {
    this.state = state
    this.resolve(this)
  }
}

/** One client connection that carries any number of exchanges at a time. */
export class MemoryClient implements Downstream {
  readonly takesChunked = false
  privateStreams: UpstreamStream[] | null = null
  private readonly worker: MemoryWorker
  private readonly calls = new Map<Exchange, MemoryCall>()

  constructor(worker: MemoryWorker) {
    this.worker = worker
  }

  /** Exchanges in progress. */
  get open(): number {
    return this.calls.size
  }

  request(method: string, target: string, fields: Fields = {}, hasBody = false): ClientCall {
    const { context, forwarder } = this.worker
    const call = new MemoryCall(this, this.worker)
    const { x } = call
    x.clientAddress = '192.0.2.1'
    this.calls.set(x, call)
    const { req } = x
    req.begin()
    req.method = method
    req.target = target
    req.add('host', fields.host ?? 'app.test')
    for (const [name, value] of Object.entries(fields)) if (name !== 'host') req.add(name, value)
    const status = req.finish(context.options.limits, hasBody) || x.begin(performance.now()) || admit(context, x)
    if (status === ADMITTED) forwarder.forward(x)
    else if (status > 0) this.reply(x, status)
    return call
  }

  onAdmission(x: Exchange, status: number): void {
    if (status === ADMITTED) this.worker.forwarder.forward(x)
    else this.reply(x, status)
  }

  onInterim(): void {}

  onHead(x: Exchange, head: Head): void {
    const call = this.calls.get(x)!
    call.status = head.status
    const pairs: string[] = []
    for (let n = 0; n < head.count; n++) if (head.at[n * STRIDE + DROPPED] === 0) pairs.push(head.name(n), head.value(n))
    call.fields = new FieldList(...pairs, ...x.addedToResponse.pairs)
  }

  onFlush(): boolean {
    return true
  }

  onBody(x: Exchange, buffer: Buffer, from: number, to: number): boolean {
    x.bytesOut += to - from
    if (!this.calls.get(x)!.trailers.isEmpty) throw new Error('content after the trailers')
    this.calls.get(x)!.body += buffer.toString('utf8', from, to)
    return true
  }

  onTrailers(x: Exchange, trailers: FieldList): void {
    this.calls.get(x)!.trailers = trailers
  }

  onResponseEnd(): void {}

  onEnd(x: Exchange): void {
    finish(this.worker.context, x, x.status)
    this.close(x, 'ended')
  }

  onTunnel(): void {
    throw new Error('no tunnels in memory')
  }

  onBroken(x: Exchange): void {
    finish(this.worker.context, x, 502)
    this.close(x, 'broken')
  }

  onFailed(x: Exchange, status: number, why: string): void {
    noteFailed(this.worker.context, x)
    this.worker.problems.push(why)
    this.reply(x, status)
  }

  pauseBody(x: Exchange): void {
    this.calls.get(x)!.bodyPaused = true
  }

  resumeBody(x: Exchange): void {
    const call = this.calls.get(x)
    if (call !== undefined) call.bodyPaused = false
  }

  forwardedFields(): FieldList {
    return NO_FIELDS
  }

  onSentToServer(): void {}
  endConnection(): void {}
  onPrivateLimit(): void {}
  onUnanswered(): void {}

  private reply(x: Exchange, status: number): void {
    finish(this.worker.context, x, status)
    this.calls.get(x)!.status = status
    this.close(x, 'local')
  }

  private close(x: Exchange, state: ClientCall['state']): void {
    const call = this.calls.get(x)!
    this.calls.delete(x)
    call.close(state)
  }
}

// ---- the worker ----

export class MemoryWorker {
  readonly context: WorkerContext
  readonly forwarder: Forwarder
  readonly runtime: Runtime
  /** Why requests got a local reply from the forwarder. */
  readonly problems: string[] = []
  /** `id out|in cause` of each ejection. */
  readonly ejections: string[] = []
  private readonly sweep: Sweep
  private readonly servers = new Map<number, MemoryServer>()
  private readonly counterBuffer = createCounters(1)

  /** `transports` replaces the servers in memory. */
  constructor(
    snapshot: Snapshot,
    overrides: Overrides = {},
    transports: ((server: UpstreamServer, sweep: Sweep) => Transport) | null = null,
  ) {
    const options: DataPlaneOptions = { ...testOptions(overrides), accessLog: false }
    this.sweep = new Sweep(nowMs => this.forwarder.tick(this.runtime.services.values(), nowMs))
    const middlewares = overrides.middlewares ?? { features: new Set(), compile: () => ({}) }
    this.runtime = new Runtime(options.cookieKey, middlewares, server =>
      transports === null ? this.transportTo(server, options.timeouts.connectMs) : transports(server, this.sweep),
    )
    this.forwarder = new Forwarder(
      options,
      this.sweep,
      {
        onEjection: (server, out, cause) => void this.ejections.push(`${server.id} ${out ? 'out' : 'in'} ${cause}`),
        onHealthReport() {},
        onReachabilityQuery() {},
        onReachable() {},
        onReach() {},
        onSessions() {},
        onClaim() {},
      },
      null,
    )
    this.context = {
      options,
      sweep: this.sweep,
      runtime: this.runtime,
      forwarder: this.forwarder,
      counters: new WorkerCounters(this.counterBuffer, 0),
      ids: new RequestIds('memory', 0, 0),
      breakerEvents: { probing() {}, probed() {} },
      draining: false,
      closing: false,
      lingering: 0,
      log() {},
      access() {},
    }
    this.runtime.apply(snapshot, new Map(Object.keys(snapshot.services).map((name, i) => [name, i + 1])))
  }

  /** The server at this port. By default it responds 200 with its port. */
  server(port: number): MemoryServer {
    let server = this.servers.get(port)
    if (server === undefined) {
      server = { accepts: 'yes', handle: call => call.respond(200, {}, [String(port)]), opened: 0, calls: [] }
      this.servers.set(port, server)
    }
    return server
  }

  service(name = 'app'): RuntimeService {
    return this.runtime.services.get(name)!
  }

  counters(slot = 1) {
    return readCounters(this.counterBuffer, slot)
  }

  /** No exchange is in progress, here or at a server. */
  get quiet(): boolean {
    if (this.forwarder.inFlight !== 0) return false
    for (const service of this.runtime.services.values()) if (service.servers.some(one => one.inFlight !== 0)) return false
    return true
  }

  /** Checks deadlines as if it were `ms` later. */
  later(ms: number): void {
    this.sweep.tick(this.sweep.now + ms)
  }

  stop(): void {
    this.sweep.stop()
  }

  private transportTo(server: UpstreamServer, connectMs: number): Transport {
    const peer = this.server(server.port)
    return {
      take: () => null,
      open: events => new MemoryStream(server, peer, events, this.sweep, connectMs),
      probe: (timeoutMs, done) => {
        if (peer.accepts === 'hang') setTimeout(done, timeoutMs, 'timeout')
        else setImmediate(done, peer.accepts === 'yes' ? '' : 'ECONNREFUSED')
      },
      closeIdle() {},
    }
  }
}
