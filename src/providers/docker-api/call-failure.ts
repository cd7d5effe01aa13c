// Why a call to a manager failed, in words that an operator can act on: what it means first, the system's own code after it.
// Pure. Spec: Docker Engine API (errors are `{"message": "..."}`), Node's error codes.

import { type FailedHandshake, printableBytes } from './foreign-agent.ts'

/**
 * `unreachable` (refused, no route, connection lost), `timeout` (connected, but no whole answer in time), `no-leader` (the swarm
 * has none just now), `not-manager` (a worker answered), `denied` (wrong key, certificate or 401/403), `gone` (404: what was
 * asked about exists no longer, and the manager is well), `bad-answer` (anything else).
 */
export type CallErrorKind = 'unreachable' | 'timeout' | 'no-leader' | 'not-manager' | 'denied' | 'gone' | 'bad-answer'

export class CallFailure extends Error {
  readonly kind: CallErrorKind
  /** The connection was made, and its TLS handshake has not ended well; null: it was, or there is none. */
  handshake: FailedHandshake | null = null
  constructor(kind: CallErrorKind, message: string) {
    super(message)
    this.kind = kind
  }
}

/** What an answer other than 200 means; `server` is its Server header. */
export function classifyStatus(status: number, body: string, server = ''): CallFailure {
  const own = ownMessage(body)
  const message = own ?? body
  const said = `HTTP ${status}: ${quote(message)}`
  if (status === 401 || status === 403) return new CallFailure('denied', said)
  // Only what Docker itself says of an object: anybody's web server answers 404 with "Not Found" too, and is no healthy manager.
  if (status === 404 && own !== null && /\b(?:service|node|task|network) \S+ not found/i.test(own))
    return new CallFailure('gone', said)
  if (/not a swarm manager|not part of a swarm/i.test(message)) return new CallFailure('not-manager', said)
  // A follower forwards reads to the leader over gRPC: its errors mean that the leader is gone, not this manager.
  if (status >= 500 && /does not have a leader|no elected leader|rpc error|deadline exceeded/i.test(message)) {
    return new CallFailure('no-leader', said)
  }
  if (status === 400 && /HTTP request to an HTTPS server|HTTPS port/i.test(message))
    return new CallFailure('denied', `${said}: it expects TLS (--manager-tls-ca)`)
  return new CallFailure('bad-answer', `${said}${status === 404 ? ', expected the Docker API' : ''}${otherServer(server)}`)
}

/** Names a web server that is no Docker daemon; those say `Docker/VERSION`, an agent says nothing. */
export function otherServer(server: string): string {
  return server === '' || /^docker/i.test(server) ? '' : `; it is no Docker API (Server: ${printableBytes(server)})`
}

/** The message of an error in Docker's own form; null when it has another. */
function ownMessage(body: string): string | null {
  try {
    const parsed: unknown = JSON.parse(body)
    if (typeof parsed === 'object' && parsed !== null && 'message' in parsed && typeof parsed.message === 'string')
      return parsed.message
  } catch {
    // The text itself is the best that can be shown.
  }
  return null
}

const MEANINGS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the connection was refused',
  ECONNRESET: 'the connection was closed before the answer',
  EPIPE: 'the connection was closed before the answer',
  EHOSTUNREACH: 'there is no way to this address',
  ENETUNREACH: 'there is no way to this address',
  ETIMEDOUT: 'the connection went silent',
  ENOENT: 'there is no such socket',
  EACCES: 'the socket may not be used by this user',
  EPERM: 'the socket may not be used by this user',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet',
}

/** What an error of a socket, of TLS or of the HTTP parser means. */
export function classifyError(error: Error): CallFailure {
  if (error instanceof CallFailure) return error
  const code = 'code' in error ? String(error.code) : ''
  const tls = meaningOfTls(code, error)
  if (tls !== null) return new CallFailure('denied', `TLS handshake failed: ${tls}`)
  if (code.startsWith('HPE_')) return new CallFailure('bad-answer', `not HTTP (${code}${sentBytes(error)})`)
  const meaning = Object.hasOwn(MEANINGS, code) ? MEANINGS[code] : undefined
  return new CallFailure('unreachable', meaning === undefined ? code || quote(error.message) : `${meaning} (${code})`)
}

/** What the HTTP parser was given; a TLS record there means that the port expects TLS. */
function sentBytes(error: Error): string {
  const raw = 'rawPacket' in error ? error.rawPacket : null
  if (!Buffer.isBuffer(raw)) return ''
  const tls = /^[\x15\x16]\x03/.test(raw.toString('latin1', 0, 2))
  return tls ? '): it expects TLS (--manager-tls-ca' : `: it sends ${printableBytes(raw.subarray(0, 64))}`
}

/** null when it is no error of TLS. */
function meaningOfTls(code: string, error: Error): string | null {
  const { message } = error
  if (/alert decrypt error/.test(message)) return 'the other side holds another secret'
  if (!/^ERR_SSL|^ERR_TLS|CERT|SELF_SIGNED|UNABLE_TO|EPROTO/.test(code) && !/certificate|alert/i.test(message)) return null
  if (/wrong.version.number|packet length too long|http.request/i.test(message)) return `it does not speak TLS (${code})`
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return `its certificate is for another name (${'reason' in error ? quote(String(error.reason)) : code})`
  }
  if (/SELF_SIGNED|UNABLE_TO|CERT_SIGNATURE/.test(code))
    return `its certificate is not from the authority of --manager-tls-ca (${code})`
  if (/alert/i.test(code) || /alert/i.test(message))
    return `it does not accept the client certificate, --manager-tls-cert (${code})`
  const known = Object.hasOwn(MEANINGS, code) ? MEANINGS[code] : undefined
  return known === undefined ? code || quote(message) : `${known} (${code})`
}

/** One line of foreign text, printable and short enough for a log. */
export function quote(text: string): string {
  const cut = text.length > 120 ? `${text.slice(0, 120)}...` : text
  return JSON.stringify(cut.replace(/\s+/g, ' ').trim())
}
