// Sockets to servers whose reading survives a failed write. A server that refuses an upload answers and closes without reading
// the rest (Node, Express, Tomcat, IIS), so the next write fails with EPIPE or ECONNRESET while the answer waits in the receive
// buffer. Node destroys a socket whose write fails, and the answer with it. Linux keeps what had arrived before the reset:
// recv() returns it first, then the end or the error.

import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { keepAlive } from '../../util/tcp-keep-alive.ts'

export interface ServerAddress {
  readonly host: string
  readonly port: number
  readonly scheme: 'http' | 'https'
}

/** @returns true to go on reading; nothing more can be written. False: the socket is destroyed with the error. */
export type WriteFailed = (code: string) => boolean

/** Connects. `verify`: check the certificate of an https server. */
export function dial({ host, port, scheme }: ServerAddress, verify: boolean): Socket {
  const target = { host, port, noDelay: true, allowHalfOpen: true }
  // A server with a DNS name (services in files) may hold certificates for several names, and chooses one by this (SNI).
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
 * From here a failed write does not end reading. For connections that carry a body: a socket with methods of its own costs every
 * write more (Node's code for sockets sees objects of another shape).
 *
 * Puts itself between the stream and its socket. A stream has one _write or _writev under way at a time (Node, "Implementing a
 * writable stream"), so one callback per socket is enough and a write allocates nothing. A failed write is never reported to the
 * stream, which then waits for it for ever: no further write reaches the socket.
 */
export function keepReading(socket: Socket, onWriteFailed: WriteFailed): void {
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
