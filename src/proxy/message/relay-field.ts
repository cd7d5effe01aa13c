// The `Skein-Relay` field, the only addition of relaying to HTTP. In a request: the service, whose server the receiver chooses, and
// what becomes of Host. In an interim response (`sent`): the request is being sent to a server. In a 503 (`unsent`): no server has
// received the request. In any other response (`private`): the receiver keeps a server connection for this stream. The parser
// (http1/head.ts) never forwards the field; only relay connections read it.

import type { Head } from './head.ts'

/** Suffix of the service: the server's own address becomes Host (`passHostHeader` is off). */
const SERVER_HOST = ';host=server'
/** Suffix of the service: the client sent no Host (HTTP/1.0). The one in the relayed head is a placeholder. */
const NO_HOST = ';host=none'

export type RelayedHost = 'client' | 'server' | 'none'

/** Encodes a service name for the field. */
export function relayName(service: string): string {
  return encodeURIComponent(service.toWellFormed())
}

/** The header line of a request; `name` is the result of relayName. */
export function relayLine(name: string, host: RelayedHost): string {
  return `Skein-Relay: ${name}${host === 'client' ? '' : host === 'server' ? SERVER_HOST : NO_HOST}\r\n`
}

/** Parses the field of a request; null if it is malformed. */
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

/** A complete interim response: from here the request may have reached a server. */
export const SENT_TO_SERVER = 'HTTP/1.1 100 Continue\r\nSkein-Relay: sent\r\n\r\n'

/** Header line of a local reply: no server has received any part of the request. */
export const UNSENT = 'Skein-Relay: unsent\r\n'

export function isUnsent(res: Head): boolean {
  return res.relayField >= 0 && res.value(res.relayField) === 'unsent'
}

/** Header line of a server's response: the receiver keeps a server connection for this stream, so the sender must not share it. */
export const PRIVATE = 'Skein-Relay: private\r\n'

export function isPrivate(res: Head): boolean {
  return res.relayField >= 0 && res.value(res.relayField) === 'private'
}
