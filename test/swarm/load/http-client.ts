// A small HTTP/1.1 client for the load generator: keep-alive, one request at a time per connection, no retries, so that every failure
// is counted. A failure states whether anything had been sent. Framing: RFC 9112, sections 6 and 7.

import { connect, type Socket } from 'node:net'

export interface Reply {
  readonly status: number
  /** The head as received, without the blank line. */
  readonly head: string
  readonly body: Buffer
}

export interface Failure {
  /** `connect-refused`, `connect-failed`, `connect-timeout`: nothing was sent. All others: the request had been written. */
  readonly kind: 'connect-refused' | 'connect-failed' | 'connect-timeout' | 'reset' | 'closed' | 'timeout' | 'bad-response'
  readonly detail: string
}

export type Outcome = Reply | Failure

const HEAD_LIMIT = 64 * 1024
/**
 * The number of connections that are opened before one is reused, so that failures of reused and of fresh connections are found.
 */
const SPREAD = 8
const IDLE_LIMIT = 32
const IDLE_MS = 20_000

interface Line {
  readonly socket: Socket
  idleSince: number
  /** The exchange in progress; null: idle. */
  take: Exchange | null
  connected: boolean
  /** Number of requests on this connection. */
  uses: number
}

class Exchange {
  private received: Buffer = Buffer.alloc(0)
  private readonly done: (outcome: Outcome) => void
  private finished = false
  readonly request: Buffer

  constructor(request: Buffer, done: (outcome: Outcome) => void) {
    this.request = request
    this.done = done
  }

  get receivedBytes(): number {
    return this.received.length
  }

  end(outcome: Outcome): void {
    if (this.finished) return
    this.finished = true
    this.done(outcome)
  }

  /** Adds received bytes; returns the response once it is complete, null until then. @throws on a malformed response */
  push(chunk: Buffer): { reply: Reply; reusable: boolean } | null {
    this.received = this.received.length === 0 ? chunk : Buffer.concat([this.received, chunk])
    for (;;) {
      const at = this.received.indexOf('\r\n\r\n')
      if (at < 0) {
        if (this.received.length > HEAD_LIMIT) throw new Error('response head too large')
        return null
      }
      const head = this.received.toString('latin1', 0, at)
      const status = Number(/^HTTP\/1\.1 (\d{3}) ?/.exec(head)?.[1])
      if (!(status >= 100)) throw new Error(`not a status line: ${JSON.stringify(head.slice(0, 80))}`)
      const rest = this.received.subarray(at + 4)
      if (status < 200) {
        this.received = rest
        continue
      }
      const body = bodyOf(head, rest)
      if (body === null) return null
      if (body.used !== rest.length) throw new Error('bytes after the response')
      return { reply: { status, head, body: body.bytes }, reusable: !/^connection:.*\bclose\b/im.test(head) }
    }
  }
}

function circumstances(line: Line, exchange: Exchange): string {
  return `request ${line.uses} on its connection, ${exchange.receivedBytes} bytes received`
}

/** The whole body; null while bytes are missing. */
function bodyOf(head: string, rest: Buffer): { bytes: Buffer; used: number } | null {
  const declared = /^content-length:[ \t]*(\d+)[ \t]*$/im.exec(head)?.[1]
  if (declared !== undefined) {
    const length = Number(declared)
    return rest.length < length ? null : { bytes: rest.subarray(0, length), used: length }
  }
  if (!/^transfer-encoding:[ \t]*chunked[ \t]*$/im.test(head)) throw new Error('response without a length')
  const parts: Buffer[] = []
  let at = 0
  for (;;) {
    const end = rest.indexOf('\r\n', at)
    if (end < 0) return null
    const size = Number.parseInt(rest.toString('latin1', at, end), 16)
    if (!(size >= 0)) throw new Error('bad chunk size')
    if (rest.length < end + 2 + size + 2) return null
    if (size === 0) {
      return { bytes: Buffer.concat(parts), used: end + 4 }
    }
    parts.push(rest.subarray(end + 2, end + 2 + size))
    at = end + 2 + size + 2
  }
}

/** Keep-alive connections to one address. */
export class HttpClient {
  private readonly idle: Line[] = []
  private open = 0
  private readonly host: string
  private readonly port: number
  private readonly localAddress: string | null

  /** `localAddress`: the source address; null: the system chooses. */
  constructor(host: string, port: number, localAddress: string | null = null) {
    this.host = host
    this.port = port
    this.localAddress = localAddress
  }

  /** Sends a whole request. `done` is called exactly once, at the latest after `timeoutMs`. */
  send(request: Buffer, timeoutMs: number, done: (outcome: Outcome) => void): void {
    const line = this.open < SPREAD ? this.dial() : (this.idleLine() ?? this.dial())
    const timer = setTimeout(() => {
      exchange.end({
        kind: line.connected ? 'timeout' : 'connect-timeout',
        detail: `after ${timeoutMs} ms; ${circumstances(line, exchange)}`,
      })
      line.socket.destroy()
    }, timeoutMs)
    const exchange = new Exchange(request, outcome => {
      clearTimeout(timer)
      done(outcome)
    })
    line.take = exchange
    line.uses += 1
    if (line.connected) line.socket.write(request)
  }

  close(): void {
    for (const line of this.idle.splice(0)) line.socket.destroy()
  }

  private idleLine(): Line | null {
    const now = performance.now()
    for (let line = this.idle.shift(); line !== undefined; line = this.idle.shift()) {
      if (now - line.idleSince < IDLE_MS) return line
      line.socket.destroy()
    }
    return null
  }

  private dial(): Line {
    const from = this.localAddress === null ? {} : { localAddress: this.localAddress }
    const socket = connect({ host: this.host, port: this.port, noDelay: true, ...from })
    const line: Line = { socket, idleSince: 0, take: null, connected: false, uses: 0 }
    this.open += 1
    socket.on('connect', () => {
      line.connected = true
      if (line.take !== null) socket.write(line.take.request)
    })
    socket.on('data', (chunk: Buffer) => this.received(line, chunk))
    socket.on('error', (error: NodeJS.ErrnoException) => {
      const kind = line.connected ? 'reset' : error.code === 'ECONNREFUSED' ? 'connect-refused' : 'connect-failed'
      line.take?.end({ kind, detail: `${error.code ?? error.message}; ${circumstances(line, line.take)}` })
    })
    socket.on('end', () => {
      this.forget(line)
      line.take?.end({ kind: 'closed', detail: `ended by the edge; ${circumstances(line, line.take)}` })
    })
    socket.on('close', () => {
      this.open -= 1
      this.forget(line)
      line.take?.end({ kind: 'closed', detail: circumstances(line, line.take) })
    })
    return line
  }

  private forget(line: Line): void {
    const at = this.idle.indexOf(line)
    if (at >= 0) this.idle.splice(at, 1)
  }

  private received(line: Line, chunk: Buffer): void {
    const exchange = line.take
    if (exchange === null) {
      // Bytes without a request; the next request on this connection would get them.
      line.socket.destroy()
      return
    }
    try {
      const complete = exchange.push(chunk)
      if (complete === null) return
      line.take = null
      if (complete.reusable && this.idle.length < IDLE_LIMIT) {
        line.idleSince = performance.now()
        this.idle.push(line)
      } else {
        line.socket.destroy()
      }
      exchange.end(complete.reply)
    } catch (error) {
      exchange.end({ kind: 'bad-response', detail: error instanceof Error ? error.message : String(error) })
      line.socket.destroy()
    }
  }
}
