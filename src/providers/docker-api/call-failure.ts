// Classifies the failure of a call to a manager and describes it for an operator: the meaning first, then the system's code.
// Pure. Specification: Docker Engine API (errors are `{"message": "..."}`), Node's error codes.

import { type FailedHandshake, printableBytes } from './foreign-agent.ts'

/**
 * `unreachable` (refused, no route, connection lost), `timeout` (connected, but no complete answer in time), `no-leader` (the
 * swarm has none now), `not-manager` (a worker answered), `denied` (wrong key or certificate, or 401/403), `gone` (404: the
 * object no longer exists, the manager is healthy), `bad-answer` (anything else).
 */
export type CallErrorKind = 'unreachable' | 'timeout' | 'no-leader' | 'not-manager' | 'denied' | 'gone' | 'bad-answer'

export class CallFailure extends Error {
  readonly kind: CallErrorKind
  /** Set when the connection was made but its TLS handshake failed. */
  handshake: FailedHandshake | null = null
  constructor(kind: CallErrorKind, message: string) {
    super(message)
    this.kind = kind
  }
}

/** Classifies an answer other than 200; `server` is its Server header. */
export function classifyStatus(status: number, body: string, server = ''): CallFailure {
  const dockerMessage = readDockerMessage(body)
  const message = dockerMessage ?? body
  const description = `HTTP ${status}: ${quote(message)}`
  if (status === 401 || status === 403) return new CallFailure('denied', description)
  // Only an error of Docker about an object: any web server answers 404 with "Not Found", and is not a healthy manager.
  if (status === 404 && dockerMessage !== null && /\b(?:service|node|task|network) \S+ not found/i.test(dockerMessage))
    return new CallFailure('gone', description)
  if (/not a swarm manager|not part of a swarm/i.test(message)) return new CallFailure('not-manager', description)
  // A follower forwards reads to the leader over gRPC; such an error means that the leader is gone, not this manager.
  if (status >= 500 && /does not have a leader|no elected leader|rpc error|deadline exceeded/i.test(message)) {
    return new CallFailure('no-leader', description)
  }
  if (status === 400 && /HTTP request to an HTTPS server|HTTPS port/i.test(message))
    return new CallFailure('denied', `${description}: it expects TLS (--manager-tls-ca)`)
  return new CallFailure(
    'bad-answer',
    `${description}${status === 404 ? ', expected the Docker API' : ''}${describeServer(server)}`,
  )
}

/** Names a web server other than a Docker daemon. A daemon sends `Docker/VERSION`, an agent sends no Server header. */
export function describeServer(server: string): string {
  return server === '' || /^docker/i.test(server) ? '' : `; it is no Docker API (Server: ${printableBytes(server)})`
}

/** The message of an error in Docker's format; null for another format. */
function readDockerMessage(body: string): string | null {
  try {
    const parsed: unknown = JSON.parse(body)
    if (typeof parsed === 'object' && parsed !== null && 'message' in parsed && typeof parsed.message === 'string')
      return parsed.message
  } catch {
    // Not JSON: the caller uses the text itself.
  }
  return null
}

const MEANINGS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the connection was refused',
  ECONNRESET: 'the connection was closed before the answer',
  EPIPE: 'the connection was closed before the answer',
  EHOSTUNREACH: 'there is no route to this address',
  ENETUNREACH: 'there is no route to this address',
  ETIMEDOUT: 'the connection timed out',
  ENOENT: 'the socket does not exist',
  EACCES: 'this user has no permission for the socket',
  EPERM: 'this user has no permission for the socket',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet',
}

/** Classifies an error of a socket, of TLS or of the HTTP parser. */
export function classifyError(error: Error): CallFailure {
  if (error instanceof CallFailure) return error
  const code = 'code' in error ? String(error.code) : ''
  const tls = describeTlsError(code, error)
  if (tls !== null) return new CallFailure('denied', `TLS handshake failed: ${tls}`)
  if (code.startsWith('HPE_')) return new CallFailure('bad-answer', `not HTTP (${code}${describeSentBytes(error)})`)
  const meaning = Object.hasOwn(MEANINGS, code) ? MEANINGS[code] : undefined
  return new CallFailure('unreachable', meaning === undefined ? code || quote(error.message) : `${meaning} (${code})`)
}

/** Describes the bytes that are not HTTP. A TLS record means that the port expects TLS. */
function describeSentBytes(error: Error): string {
  const raw = 'rawPacket' in error ? error.rawPacket : null
  if (!Buffer.isBuffer(raw)) return ''
  const tls = /^[\x15\x16]\x03/.test(raw.toString('latin1', 0, 2))
  return tls ? '): it expects TLS (--manager-tls-ca' : `: it sends ${printableBytes(raw.subarray(0, 64))}`
}

/** null when the error is not one of TLS. */
function describeTlsError(code: string, error: Error): string | null {
  const { message } = error
  if (/alert decrypt error/.test(message)) return 'the agent has another cluster secret'
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

/** Untrusted text as one line, quoted and at most 120 characters. */
export function quote(text: string): string {
  const cut = text.length > 120 ? `${text.slice(0, 120)}...` : text
  return JSON.stringify(cut.replace(/\s+/g, ' ').trim())
}
