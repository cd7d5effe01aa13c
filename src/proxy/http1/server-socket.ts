// Sockets to servers that can still be read after a failed write. A server that rejects an upload responds and closes without
// reading the rest (Node, Express, Tomcat, IIS). The next write then fails with EPIPE or ECONNRESET while the response is in the
// receive buffer. Node destroys a socket whose write fails, and the response is lost. Linux keeps the bytes that arrived before the
// reset: recv() returns them first, then the end or the error.

import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { keepAlive } from '../../util/tcp-keep-alive.ts'

export interface ServerAddress {
  readonly host: string
  readonly port: number
  readonly scheme: 'http' | 'https'
}

/** @returns true to continue reading, without further writes; false to destroy the socket with the error */
export type WriteFailed = (code: string) => boolean

/** Opens a connection. `verify`: check the certificate of an https server. */
export function dial({ host, port, scheme }: ServerAddress, verify: boolean): Socket {
  const target = { host, port, noDelay: true, allowHalfOpen: true }
  // A server with a DNS name (services in files) may have certificates for several names; SNI selects one.
  const servername = isIP(host) === 0 ? host : ''
  const socket =
    scheme === 'http'
      ? connectTcp(target)
      : connectTls({ ...target, servername, rejectUnauthorized: verify, ALPNProtocols: ['http/1.1'] })
  socket.once('connect', () => keepAlive(socket))
  return socket
}

type Callback = (error?: Error | null) => void

/**
 * From here on a failed write does not end reading. Used only for connections that carry a body: overridden methods change the
 * object's shape, which makes every write in Node's socket code slower.
 *
 * Wraps the writes between stream and socket. A stream has at most one _write or _writev in progress (Node, "Implementing a
 * writable stream"), so one callback per socket is enough and a write allocates nothing. A failed write is never reported to the
 * stream, which therefore never writes again.
 */
export function readAfterFailedWrites(socket: Socket, onWriteFailed: WriteFailed): void {
  const write = socket._write
  const writev = socket._writev!
  let done: Callback = ignore
  const written: Callback = error => {
    if (error === null || error === undefined) done()
    else if (!onWriteFailed((error as NodeJS.ErrnoException).code ?? error.message)) done(error)
  }
  socket._write = function (chunk, encoding, callback) {
    done = callback
    write.call(this, chunk, encoding, written)
  }
  socket._writev = function (chunks, callback) {
    done = callback
    writev.call(this, chunks, written)
  }
}

function ignore(): void {}
