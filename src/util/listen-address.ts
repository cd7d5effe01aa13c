// Addresses to listen on, in the words that people are told: how host and port are written, and why one cannot be had. The same
// words for entry points, the admin API and the agent, so that what docs/troubleshooting.md says of them holds everywhere.

import { connect, createServer } from 'node:net'

/** `127.0.0.1:80`, `[::]:80` (RFC 3986, 3.2.2). */
export function hostAndPort(host: string, port: number): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}

/**
 * What listen() reports, as an error with a message for people and the same code; `what` is to listen there, such as `admin API`.
 */
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

/** Nobody sends requests to this address of the loopback network. */
const ASIDE = '127.0.0.254'
const CONNECT_MS = 500

/**
 * Rejects with a listenError when `what` could not listen on an address. Data workers share their port with SO_REUSEPORT, which
 * lets a second process of the same user join in silence; so this asks in its own way, and never by listening where clients may
 * come: whoever came then would be reset. Port 0 is always free.
 */
export async function assertAddressFree(what: string, host: string, port: number): Promise<void> {
  if (port === 0) return
  const refused = (await tryListen(host, 0)) ?? rights(await tryListen(ASIDE, port))
  if (refused !== null) throw listenError(what, host, port, refused)
  const target = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  if (await answers(target, port)) throw listenError(what, host, port, { code: 'EADDRINUSE', message: 'the port is taken' })
}

/** Outside Linux the loopback network has one address only, and nothing is learned. */
function rights(error: NodeJS.ErrnoException | null): NodeJS.ErrnoException | null {
  return error?.code === 'EACCES' || error?.code === 'EADDRINUSE' ? error : null
}

function tryListen(host: string, port: number): Promise<NodeJS.ErrnoException | null> {
  return new Promise(resolve => {
    const probe = createServer()
    probe.once('error', resolve)
    probe.listen({ host, port, exclusive: true }, () => probe.close(() => resolve(null)))
  })
}

function answers(host: string, port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect({ host, port, timeout: CONNECT_MS })
    const settle = (taken: boolean): void => {
      socket.destroy()
      resolve(taken)
    }
    socket.once('connect', () => settle(true))
    socket.once('error', () => settle(false))
    socket.once('timeout', () => settle(false))
  })
}
