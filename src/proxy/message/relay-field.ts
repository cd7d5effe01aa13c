// The one field that relaying adds to HTTP, `Skein-Relay`. In a request: the service, whose server the receiver is to choose, and
// what is to become of Host. In an interim answer: the request is on its way to a server. In a 503: nothing was sent to any server.
// In another answer: the stream has a private server connection. The parser (http1/head.ts) never passes the field on, whichever
// side sent it; only a relay connection reads it.

import type { Head } from './head.ts'

/** Behind the service: the server's own address goes into Host (`passHostHeader` is off). */
const SERVER_HOST = ';host=server'
/** Behind the service: the client sent no Host (HTTP/1.0), and the one on the wire stands in for it. */
const NO_HOST = ';host=none'

export type RelayedHost = 'client' | 'server' | 'none'

/** A service's name as the field holds it. */
export function relayName(service: string): string {
  return encodeURIComponent(service.toWellFormed())
}

/** The line of a request; `name` as relayName made it. */
export function relayLine(name: string, host: RelayedHost): string {
  return `Skein-Relay: ${name}${host === 'client' ? '' : host === 'server' ? SERVER_HOST : NO_HOST}\r\n`
}

/** What the field of a request says; null if it cannot be read. */
export function parseRelay(value: string): { readonly service: string; readonly host: RelayedHost } | null {
  const semicolon = value.indexOf(';')
  const option = semicolon < 0 ? '' : value.slice(semicolon)
  const name = semicolon < 0 ? value : value.slice(0, semicolon)
  if (name === '' || (option !== '' && option !== SERVER_HOST && option !== NO_HOST)) return null
  const host = option === '' ? 'client' : option === SERVER_HOST ? 'server' : 'none'
  if (!name.includes('%')) return { service: name, host }
  try {
    return { service: decodeURIComponent(name), host }
  } catch {
    return null
  }
}

/** A whole interim answer: from here the request may have reached a server. */
export const SENT_TO_SERVER = 'HTTP/1.1 100 Continue\r\nSkein-Relay: sent\r\n\r\n'

/** Line of an answer that is the receiver's own: no server has seen anything of the request. */
export const UNSENT = 'Skein-Relay: unsent\r\n'

export function isUnsent(res: Head): boolean {
  return res.relayField >= 0 && res.value(res.relayField) === 'unsent'
}

/** Line of a server's answer: the receiver keeps a server connection for this stream alone, so the sender must not share it. */
export const PRIVATE = 'Skein-Relay: private\r\n'

export function isPrivate(res: Head): boolean {
  return res.relayField >= 0 && res.value(res.relayField) === 'private'
}
