// A TCP connection that is read message by message, for scripted clients and backends. The reader shares no code with Skein. Every
// wait has a limit, so that a test fails instead of hanging.

import { connect, type Socket } from 'node:net'

/** Against hanging only: a busy machine must not fail a test. */
const WAIT_MS = 30_000

export interface Message {
  /** As received, with the empty line. */
  readonly head: string
  readonly startLine: string
  /** Decoded from the chunked coding. */
  readonly body: Buffer
  /** Trailer lines of a chunked body, each with its CRLF. */
  readonly trailers: string
}

export class RawConnection {
  readonly socket: Socket
  /** Number of bytes received. */
  received = 0
  /** The peer sent a FIN. */
  ended = false
  closed = false
  /** The code of the error that closed it, e.g. ECONNRESET. */
  error = ''
  private buffered: Buffer = Buffer.alloc(0)
  private readonly waiters = new Set<() => void>()

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (chunk: Buffer) => {
      this.received += chunk.length
      this.buffered = this.buffered.length === 0 ? chunk : Buffer.concat([this.buffered, chunk])
      this.wake()
    })
    socket.on('end', () => {
      this.ended = true
      this.wake()
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.error = error.code ?? error.message
    })
    socket.on('close', () => {
      this.closed = true
      this.wake()
    })
  }

  static open(port: number, host = '127.0.0.1'): Promise<RawConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host, allowHalfOpen: true, noDelay: true })
      socket.once('error', reject)
      socket.once('connect', () => {
        socket.off('error', reject)
        resolve(new RawConnection(socket))
      })
    })
  }

  write(data: string | Buffer): void {
    this.socket.write(typeof data === 'string' ? Buffer.from(data, 'latin1') : data)
  }

  /** Received bytes that were not taken yet. */
  peek(): string {
    return this.buffered.toString('latin1')
  }

  /** Waits until `done` holds. Rejects after `ms`. */
  async until(done: () => boolean, what: string, ms = WAIT_MS): Promise<void> {
    const end = performance.now() + ms
    while (!done()) {
      const left = end - performance.now()
      if (left <= 0) throw new Error(`waited ${ms} ms for ${what}; have: ${JSON.stringify(this.peek().slice(0, 400))}`)
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, left)
        this.waiters.add(() => {
          clearTimeout(timer)
          resolve()
        })
      })
    }
  }

  /** Takes the next bytes up to and including `mark`. */
  async takeThrough(mark: string, ms = WAIT_MS): Promise<string> {
    let at = -1
    await this.until(
      () => {
        at = this.buffered.indexOf(mark, 0, 'latin1')
        if (at < 0 && (this.ended || this.closed))
          throw new Error(`ended before ${JSON.stringify(mark)}: ${JSON.stringify(this.peek())}`)
        return at >= 0
      },
      JSON.stringify(mark),
      ms,
    )
    return this.cut(at + mark.length).toString('latin1')
  }

  async take(size: number, ms = WAIT_MS): Promise<Buffer> {
    await this.until(
      () => {
        if (this.buffered.length >= size) return true
        if (this.ended || this.closed) throw new Error(`ended after ${this.buffered.length} of ${size} bytes`)
        return false
      },
      `${size} bytes`,
      ms,
    )
    return this.cut(size)
  }

  /** Takes everything until the peer ends. */
  async takeAll(ms = WAIT_MS): Promise<Buffer> {
    await this.until(() => this.ended || this.closed, 'the end', ms)
    return this.cut(this.buffered.length)
  }

  /** Takes the next request or response. `noBody`: a response to HEAD. Rejects if the connection ends within it. */
  async takeMessage(options: { noBody?: boolean; ms?: number } = {}): Promise<Message> {
    const ms = options.ms ?? WAIT_MS
    const head = await this.takeThrough('\r\n\r\n', ms)
    const startLine = head.slice(0, head.indexOf('\r\n'))
    const status = /^HTTP\/1\.\d (\d{3})/.exec(startLine)?.[1]
    let body: Buffer = Buffer.alloc(0)
    let trailers = ''
    const length = fieldOf(head, 'content-length')
    if (options.noBody || status === '204' || status === '304' || status?.startsWith('1')) {
      // No body, whatever the head says.
    } else if (fieldOf(head, 'transfer-encoding') === 'chunked') {
      const parts: Buffer[] = []
      for (;;) {
        const size = Number.parseInt(await this.takeThrough('\r\n', ms), 16)
        if (size === 0) break
        parts.push(await this.take(size, ms))
        await this.take(2, ms)
      }
      for (let line = await this.takeThrough('\r\n', ms); line !== '\r\n'; line = await this.takeThrough('\r\n', ms))
        trailers += line
      body = Buffer.concat(parts)
    } else if (length !== undefined) body = await this.take(Number(length), ms)
    else if (status !== undefined) body = await this.takeAll(ms)
    return { head, startLine, body, trailers }
  }

  /** True if the peer ends or resets the connection. */
  async ends(): Promise<boolean> {
    await this.until(() => this.ended || this.closed, 'the end').catch(() => {})
    return this.ended || this.closed
  }

  destroy(): void {
    this.socket.destroy()
  }

  private wake(): void {
    const waiters = [...this.waiters]
    this.waiters.clear()
    for (const waiter of waiters) waiter()
  }

  private cut(size: number): Buffer {
    const taken = this.buffered.subarray(0, size)
    this.buffered = this.buffered.subarray(size)
    return taken
  }
}

/** The value of a field, undefined when absent; several are joined with ' | ' so that a test detects them. */
export function fieldOf(head: string, lowerName: string): string | undefined {
  const values = head
    .split('\r\n')
    .slice(1)
    .filter(line => line.slice(0, line.indexOf(':')).toLowerCase() === lowerName)
    .map(line => line.slice(line.indexOf(':') + 1).trim())
  return values.length === 0 ? undefined : values.join(' | ')
}

/** Status of a response's start line. */
export function statusOf(message: Message): number {
  return Number(message.startLine.slice(9, 12))
}

/** True if the port has no listener. Connects more than once: a connect to a free ephemeral port may, rarely, reach itself. */
export async function refuses(port: number): Promise<boolean> {
  for (let i = 0; i < 3; i++) {
    const met = await RawConnection.open(port).catch((error: NodeJS.ErrnoException) => error.code)
    if (!(met instanceof RawConnection)) return met === 'ECONNREFUSED'
    met.destroy()
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  return false
}
