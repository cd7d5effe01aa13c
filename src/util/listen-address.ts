// Addresses to listen on: their text form, and errors that say why listening failed. Entry points, the admin API and the agent use
// the same messages, which docs/troubleshooting.md lists.

import { connect, createServer } from 'node:net'

/** `127.0.0.1:80`, `[::]:80` (RFC 3986 section 3.2.2). */
export function hostAndPort(host: string, port: number): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** Turns an error of listen() into one with a readable message and the same code; `what` names the listener, such as `admin API`. */
export function listenError(
  what: string,
  host: string,
  port: number,
  cause: { code?: string | undefined; message: string },
): Error {
  const { code, message } = cause
  const why = code === 'EADDRINUSE' ? 'the port is taken' : code === 'EACCES' ? 'the port needs more rights' : message
  return Object.assign(new Error(`${what}: cannot listen on ${hostAndPort(host, port)}: ${why}`), { code })
}

/** An address of the loopback network at which no client connects. */
const UNUSED_LOOPBACK = '127.0.0.254'
const CONNECT_MS = 500

/**
 * Rejects with a listenError if `what` could not listen on an address. Data workers share their port with SO_REUSEPORT, with which a
 * second process of the same user would join without an error. So this probes without listening at the address itself: a client that
 * connected to the probe would be reset. Port 0 is always free.
 */
export async function assertAddressFree(what: string, host: string, port: number): Promise<void> {
  if (port === 0) return
  const refused = (await tryListen(host, 0)) ?? permissionError(await tryListen(UNUSED_LOOPBACK, port))
  if (refused !== null) throw listenError(what, host, port, refused)
  const target = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  if (await accepts(target, port)) throw listenError(what, host, port, { code: 'EADDRINUSE', message: 'the port is taken' })
}

/** Other platforms than Linux have only one loopback address, and the probe shows nothing. */
function permissionError(error: NodeJS.ErrnoException | null): NodeJS.ErrnoException | null {
  return error?.code === 'EACCES' || error?.code === 'EADDRINUSE' ? error : null
}

function tryListen(host: string, port: number): Promise<NodeJS.ErrnoException | null> {
  return new Promise(resolve => {
    const probe = createServer()
    probe.once('error', resolve)
    probe.listen({ host, port, exclusive: true }, () => probe.close(() => resolve(null)))
  })
}

function accepts(host: string, port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect({ host, port, timeout: CONNECT_MS })
    const finish = (taken: boolean): void => {
      socket.destroy()
      resolve(taken)
    }
    socket.once('connect', () => finish(true))
    socket.once('error', () => finish(false))
    socket.once('timeout', () => finish(false))
  })
}
