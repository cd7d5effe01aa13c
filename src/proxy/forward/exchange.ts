// One request and its response on their way through Skein, for every codec. Routing and middlewares see only its RequestView. The
// request is stored as received (a Head) with edits beside it, so that unchanged parts cost nothing. A codec may use one object for
// consecutive requests. State that changes after routing belongs to attempt.ts, body-buffer.ts and sessions/exchange-session.ts.

import type { Wait } from '../../middlewares/wait.ts'
import { type FieldList, NO_FIELDS } from '../message/field-list.ts'
import { NO_BODY } from '../message/framing.ts'
import { Head } from '../message/head.ts'
import { isValidHost } from '../message/host.ts'
import type { MiddlewareReply } from '../message/local-reply.ts'
import { normalizePath } from '../message/path-normalization.ts'
import type { RequestView } from '../message/request-view.ts'
import { mayWrite } from '../message/writable-field.ts'
import type { CompiledRoute } from '../routing/compiled-route.ts'
import type { ConnectionLimit } from '../routing/max-conn.ts'
import type { RuntimeService } from '../runtime-service.ts'
import { ExchangeSession } from '../sessions/exchange-session.ts'
import { Attempt } from './attempt.ts'
import { BodyBuffer } from './body-buffer.ts'
import type { Downstream } from './downstream.ts'

/** The middlewares that a body passes (body-filters.ts). */
export interface BodyFilter {
  /** @returns false to pause, as BodySink.write */
  write(content: Buffer): boolean
  /** A second call does nothing. @returns false if a middleware failed: the exchange is over */
  end(): boolean
}

export class Exchange implements RequestView {
  readonly downstream: Downstream
  readonly entryPoint: string
  clientAddress = ''
  req = new Head()
  method = ''
  host = ''
  /** The Host field as received, with its port unless that is empty. */
  authority = ''
  path = ''
  query: string | null = null
  /** Path as received. If `path` equals it, the target is forwarded unchanged. */
  receivedPath = ''
  /** The path to send where an edit keeps the client's encoding (see RequestView); '' otherwise. */
  wirePath = ''
  /** Location of the redirect that is the response; '' if there is none. */
  location = ''
  /** The target was in absolute form, so it has to be rebuilt. */
  absolute = false
  /** Request fields to add. */
  added: FieldList = NO_FIELDS
  /** Host to send instead of the client's; null to keep that. */
  sendHost: string | null = null
  /** Response fields to add. */
  addedToResponse: FieldList = NO_FIELDS
  /** The client asks to switch to one of the protocols in `upgradeTo`. */
  upgrade = false
  upgradeTo = ''

  route: CompiledRoute | null = null
  /** A middleware that has not decided yet (routing/admission.ts). */
  wait: Wait | null = null
  /** The error of a middleware that failed to cancel its wait; '' if none did. finish() logs it. */
  cancelFailure = ''
  /** The response of a middleware, to be sent instead of a server's. */
  localReply: MiddlewareReply | null = null
  /** Sinks of middlewares that the bodies pass (body-filters.ts); null: none. */
  requestFilter: BodyFilter | null = null
  responseFilter: BodyFilter | null = null
  service: RuntimeService | null = null
  readonly attempt = new Attempt()
  readonly body = new BodyBuffer()
  readonly session = new ExchangeSession()
  /** Relayed by a peer: it is not relayed again. */
  fromPeer = false
  /** The response is a local reply with 502, 503 or 504. */
  failed = false
  /** The exchange ends because a middleware failed after admission: the outcome says nothing about the service. */
  middlewareFailed = false
  /** Seconds after which the client may retry a request that a circuit breaker refused, at least 1; 0: not refused. */
  retryAfterS = 0
  /** Host is the server's own address (passHostHeader is off). */
  serverHost = false
  /** The final head was passed to the downstream. */
  answered = false
  active = false
  /** Changes with every request, so that a queue can detect entries of earlier requests. */
  generation = 0
  status = 0
  /** performance.now() when the head was complete. */
  startMs = 0
  /** The start, or the end of the last wait of a middleware: the breaker judges the service without that wait. */
  admittedMs = 0
  bytesIn = 0
  bytesOut = 0
  /** The maxConn limit in which a place is held, and its key; null: none. */
  limit: ConnectionLimit | null = null
  maxConnKey: string | null = null
  requestId = ''

  constructor(downstream: Downstream, entryPoint: string) {
    this.downstream = downstream
    this.entryPoint = entryPoint
  }

  /**
   * Starts a request whose head has been parsed into `req`.
   * @returns 0, or the status to answer with; `req.problem` then says why
   */
  begin(nowMs: number): number {
    const req = this.req
    this.clear(nowMs)
    this.method = req.method
    this.body.begin(req.framing)
    this.upgradeTo = req.upgradeTo
    this.upgrade = this.upgradeTo !== ''
    const host = req.hostField >= 0 ? req.value(req.hostField) : ''
    this.setAuthority(host)
    if (this.authority.length !== host.length) this.sendHost = this.authority
    return this.readTarget(req.target)
  }

  /**
   * Starts a request with an invalid head, which is refused. `method` and `target`, or '' if unknown, are used for the local reply
   * and the logs.
   */
  beginUnread(method: string, target: string, nowMs: number): void {
    this.clear(nowMs)
    this.method = method
    this.setAuthority('')
    this.path = this.receivedPath = target.startsWith('/') ? target.split('?', 1)[0]! : ''
    this.query = null
    this.body.begin(NO_BODY)
    this.upgrade = false
  }

  /** Clears the state of the previous request. */
  private clear(nowMs: number): void {
    this.added = NO_FIELDS
    this.addedToResponse = NO_FIELDS
    this.sendHost = null
    this.route = null
    this.wait = null
    this.cancelFailure = ''
    this.localReply = null
    this.requestFilter = null
    this.responseFilter = null
    this.service = null
    this.attempt.reset()
    this.session.reset()
    this.fromPeer = false
    this.failed = false
    this.middlewareFailed = false
    this.retryAfterS = 0
    this.serverHost = false
    this.answered = false
    this.active = true
    this.generation++
    this.status = 0
    this.startMs = nowMs
    this.admittedMs = nowMs
    this.bytesIn = 0
    this.bytesOut = 0
    this.maxConnKey = null
    this.requestId = ''
    this.absolute = false
    this.wirePath = ''
    this.location = ''
  }

  /** Request targets (RFC 9112, 3.2): origin form, absolute form, and `*` for OPTIONS. */
  private readTarget(target: string): number {
    let from = 0
    if (target.charCodeAt(0) !== 47) {
      this.path = this.receivedPath = ''
      if (target === '*') {
        if (this.method !== 'OPTIONS') return this.refuse('the target * is for OPTIONS only')
        this.path = this.receivedPath = '*'
        this.query = null
        return 0
      }
      const scheme = /^https?:\/\//i.exec(target)
      if (scheme === null) return this.refuse('the request target is neither a path nor an http URI')
      const start = scheme[0].length
      from = target.length
      for (const end of ['/', '?']) {
        const i = target.indexOf(end, start)
        if (i >= 0 && i < from) from = i
      }
      if (!isValidHost(target, start, from)) return this.refuse('the authority of the request target is malformed')
      // The target's authority overrides the Host field (RFC 9112, 3.2.2).
      this.setAuthority(target.slice(start, from))
      this.sendHost = this.authority
      this.absolute = true
    }
    const question = target.indexOf('?', from)
    if (question < 0) {
      this.path = from === 0 ? target : target.slice(from) || '/'
      this.query = null
    } else {
      this.path = question === from ? '/' : target.slice(from, question)
      this.query = target.slice(question + 1)
    }
    // OPTIONS for a whole server in absolute form (RFC 9112, 3.2.4).
    if (from === target.length && this.method === 'OPTIONS') this.path = '*'
    this.receivedPath = this.path
    const normal = normalizePath(this.path)
    if (typeof normal !== 'string') return this.refuse(normal.problem)
    this.path = normal
    return 0
  }

  /** Drops an empty port (RFC 3986, 3.2.3), which some servers refuse. */
  private setAuthority(received: string): void {
    const authority = received.charCodeAt(received.length - 1) === 58 ? received.slice(0, -1) : received
    if (authority === this.authority) return
    this.authority = authority
    const colon = authority.lastIndexOf(':')
    let end = colon > authority.lastIndexOf(']') ? colon : authority.length
    if (authority.charCodeAt(end - 1) === 46) end--
    this.host = authority.slice(0, end).toLowerCase()
  }

  private refuse(problem: string): number {
    this.req.problem = problem
    return 400
  }

  /** Attempt.sends, for the breaker. */
  get sends(): number {
    return this.attempt.sends
  }

  /** The target as forwarded. */
  sendTarget(): string {
    // A relayed request was edited by the peer that sent it.
    if ((this.fromPeer || (this.path === this.receivedPath && this.wirePath === '')) && !this.absolute) return this.req.target
    const path = this.wirePath === '' ? this.path : this.wirePath
    return this.query === null ? path : `${path}?${this.query}`
  }

  header(name: string): string | undefined {
    const i = this.req.find(name)
    return i < 0 ? undefined : this.req.value(i)
  }

  headers(name: string): readonly string[] {
    const values: string[] = []
    for (let i = this.req.find(name); i >= 0; i = this.req.find(name, i + 1)) values.push(this.req.value(i))
    return values
  }

  setHeader(name: string, value: string): void {
    const lower = name.toLowerCase()
    if (!mayWrite(lower, value)) return
    if (lower === 'host') {
      this.sendHost = value
      return
    }
    this.req.drop(lower)
    this.added = this.added.with(name, value)
  }

  /** Content of the response from the server, for upstream codecs. @returns as Downstream.onBody */
  onResponseBody(buffer: Buffer, from: number, to: number): boolean {
    if (this.responseFilter === null) return this.downstream.onBody(this, buffer, from, to)
    return this.responseFilter.write(buffer.subarray(from, to))
  }

  /**
   * The trailer section of the response from the server, for upstream codecs; onComplete follows. A filter is ended before, because
   * it may write the rest of the content.
   * @returns false if a middleware failed: the exchange is over
   */
  onResponseTrailers(trailers: FieldList): boolean {
    if (this.responseFilter !== null && !this.responseFilter.end()) return false
    this.downstream.onTrailers(this, trailers)
    return true
  }

  /** Cancels the wait of a middleware. @returns whether there was one, so that the request has not been forwarded */
  cancelWait(): boolean {
    const { wait } = this
    if (wait === null) return false
    this.wait = null
    try {
      wait.cancel()
    } catch (error) {
      this.cancelFailure = (error as Error).message
    }
    return true
  }
}
