// Skein-Relay, the one field that the relay adds to HTTP. In a request it names the service whose server the receiver chooses, and
// what to do with Host. In a 100 response: the request is being sent to a server. In a 503: nothing was sent to any server. In any
// other response: the stream has a private server connection. Parsers always drop the field; only relay connections read it.

import { FieldList } from './field-list.ts'
import type { Head } from './head.ts'

const NAME = 'Skein-Relay'
/** After the service: Host is replaced by the server's own address (`passHostHeader` is off). */
const SERVER_HOST = ';host=server'
/** After the service: the client sent no Host (HTTP/1.0); the one on the wire is a placeholder. */
const NO_HOST = ';host=none'

export type RelayedHost = 'client' | 'server' | 'none'

/** The name of a service in the form that the field carries. */
export function relayName(service: string): string {
  return encodeURIComponent(service.toWellFormed())
}

/** The field of a request; `name` is a result of relayName. */
export function relayFields(name: string, host: RelayedHost): FieldList {
  return new FieldList(NAME, `${name}${host === 'client' ? '' : host === 'server' ? SERVER_HOST : NO_HOST}`)
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

/** In a 100 response: from now on the request may have reached a server. */
export const SENT_TO_SERVER: FieldList = new FieldList(NAME, 'sent')

/** In a local reply of the receiver: no server has received any part of the request. */
export const UNSENT: FieldList = new FieldList(NAME, 'unsent')

export function isUnsent(res: Head): boolean {
  return res.relayField >= 0 && res.value(res.relayField) === 'unsent'
}

/** In a response of a server: the receiver keeps a server connection for this stream alone, so the sender must not share it. */
export const PRIVATE: FieldList = new FieldList(NAME, 'private')

export function isPrivate(res: Head): boolean {
  return res.relayField >= 0 && res.value(res.relayField) === 'private'
}
