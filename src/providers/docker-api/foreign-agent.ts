// Describes what answers at an agent:// endpoint that is not a Skein agent of this cluster: a DNS name such as `managers` may
// resolve to another stack's service. The failure of the TLS handshake decides. Where it only shows that the bytes are not TLS,
// one plain request shows which protocol the other side uses. Untrusted text is made printable and bounded. Specification: RFC
// 8446, 6.2 (alerts).

import { connect } from 'node:net'

/** A TLS handshake that failed. */
export interface FailedHandshake {
  /** null: the handshake timed out. */
  readonly error: Error | null
  /** Time that the call waited, ms. */
  readonly waitedMs: number
}

/** Bytes read of the answer to the plain request ... */
const READ_BYTES = 512
/** ... within this time, ms ... */
const READ_TIMEOUT_MS = 1_000
/** ... and bytes of it in the message. */
const SHOWN_BYTES = 48
/** Minimum interval between two plain requests to one endpoint, ms. */
const REQUEST_INTERVAL_MS = 60_000

/** Describes a handshake handshake; null: the bytes were not TLS, so a plain request is needed. Pure. */
export function describeHandshake({ error, waitedMs }: FailedHandshake): string | null {
  if (error === null)
    return `it accepts the connection and sends nothing for ${waitedMs / 1000} s, not even a TLS handshake: it hangs, or is no Skein agent`
  const code = 'code' in error ? String(error.code) : ''
  const { message } = error
  if (/alert decrypt error/i.test(message)) return 'it is a Skein agent with another cluster secret'
  const alert = /SSL routines:[^:]*:(?:ssl\/tls |tlsv1[ .3]* |sslv3 )?alert ([a-z ]{1,40})/i.exec(message)?.[1]
  if (alert !== undefined) return `it is a TLS server but no Skein agent (its alert: ${alert.trim()})`
  if (/CERT|SELF_SIGNED|UNABLE_TO/.test(code) || /certificate/i.test(message))
    return 'it is a TLS server but no Skein agent (it shows a certificate)'
  if (code === 'ECONNRESET' || code === 'EPIPE')
    return 'it accepts the connection and closes it: it is no Skein agent, or one that restarts or has too many connections'
  return null
}

/** Describes an answer in plain text; `ended`: the connection was closed after it. Pure. */
export function describeBytes(bytes: Buffer, ended: boolean): string {
  const text = bytes.toString('latin1')
  const status = /^HTTP\/\d\.\d \d{3}/.exec(text)?.[0]
  if (status !== undefined) {
    const server = /\r\nserver: *([^\r\n]*)/i.exec(text)?.[1]
    return `it answers in plain HTTP (${status}${server === undefined ? '' : `, Server: ${printableBytes(server)}`}): it is no Skein agent`
  }
  // An alert (21) or a handshake record (22) of any version.
  if (/^[\x15\x16]\x03/.test(text)) return 'it is a TLS server but no Skein agent'
  if (bytes.length === 0) return `it does not use TLS${ended ? ' and closes the connection' : ''}: it is no Skein agent`
  return `it sends bytes that are not TLS (${printableBytes(text)}): it is no Skein agent`
}

/** The first bytes in quotes; bytes other than printable ASCII as `\xNN`. */
export function printableBytes(bytes: Buffer | string): string {
  const text = typeof bytes === 'string' ? bytes : bytes.toString('latin1')
  const shown = text
    .slice(0, SHOWN_BYTES)
    .replace(/[^\x20-\x7e]|["\\]/g, character => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`)
  return `"${shown}"${text.length > SHOWN_BYTES ? '...' : ''}`
}

/**
 * Returns a function that describes what answers at one address. It never rejects and takes at most a second. `foundBy`: the
 * DNS name that resolved to the address; null: none.
 */
export function createForeignAgentProbe(
  to: { readonly host: string; readonly port: number },
  foundBy: string | null,
): (handshake: FailedHandshake) => Promise<string> {
  const where =
    foundBy === null ? 'perhaps another service uses this address' : `perhaps another service has the DNS name ${foundBy} too`
  let lastRequest: { readonly at: number; readonly description: Promise<string> } | null = null
  return async handshake => {
    const description = describeHandshake(handshake)
    const now = performance.now()
    if (description === null && (lastRequest === null || now - lastRequest.at >= REQUEST_INTERVAL_MS))
      lastRequest = { at: now, description: plainRequest(to) }
    else if (description !== null) lastRequest = null
    const text = description ?? (await lastRequest?.description) ?? ''
    return text.includes('another cluster secret') ? text : `${text}; ${where}`
  }
}

/** Sends one plain request on its own connection. */
function plainRequest(to: { readonly host: string; readonly port: number }): Promise<string> {
  return new Promise(resolve => {
    let got = Buffer.alloc(0)
    const socket = connect({ host: to.host, port: to.port })
    const finish = (ended: boolean): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(describeBytes(got, ended))
    }
    const timer = setTimeout(finish, READ_TIMEOUT_MS, false)
    socket.on('connect', () => socket.write('GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n'))
    socket.on('data', (chunk: Buffer) => {
      got = Buffer.concat([got, chunk.subarray(0, READ_BYTES - got.length)])
      // An HTTP head ends with an empty line; any other protocol is visible from its first bytes.
      if (
        got.length >= READ_BYTES ||
        !got.toString('latin1').startsWith('HTTP/'.slice(0, got.length)) ||
        got.includes('\r\n\r\n')
      )
        finish(false)
    })
    socket.on('error', () => finish(true))
    socket.on('close', () => finish(true))
  })
}
