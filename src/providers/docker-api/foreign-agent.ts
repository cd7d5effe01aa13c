// What answers at an agent:// endpoint that is no Skein agent of this cluster: DNS names such as `managers` may give addresses of
// another stack's service. The failure of the TLS handshake decides; where it only says that the bytes are no TLS, one plain
// request shows what the other side speaks. Foreign text is printable and bounded. Spec: RFC 8446 section 6.2 (alerts).

import { connect } from 'node:net'

/** A handshake that did not end in a channel. */
export interface FailedHandshake {
  /** null: nothing decisive came before the time was up. */
  readonly error: Error | null
  /** How long the call has waited, ms. */
  readonly waitedMs: number
}

/** At most this much of what a stranger says is read, bytes ... */
const READ_BYTES = 512
/** ... within so long, ms ... */
const READ_MS = 1_000
/** ... and that much is shown, bytes. */
const SHOWN_BYTES = 48
/** The plain request is repeated at most this often for one endpoint, ms. */
const ASK_EVERY_MS = 60_000

/** The words for a failed handshake; null: the bytes were no TLS, and only a plain request shows what they are. Pure. */
export function describeHandshake({ error, waitedMs }: FailedHandshake): string | null {
  if (error === null)
    return `it accepts the connection and says nothing for ${waitedMs / 1000} s, not even a TLS handshake: it hangs, or is no Skein agent`
  const code = 'code' in error ? String(error.code) : ''
  const { message } = error
  if (/alert decrypt error/i.test(message)) return 'it is a Skein agent that holds another secret'
  const alert = /SSL routines:[^:]*:(?:ssl\/tls |tlsv1[ .3]* |sslv3 )?alert ([a-z ]{1,40})/i.exec(message)?.[1]
  if (alert !== undefined) return `it is a TLS server but no Skein agent (its alert: ${alert.trim()})`
  if (/CERT|SELF_SIGNED|UNABLE_TO/.test(code) || /certificate/i.test(message))
    return 'it is a TLS server but no Skein agent (it shows a certificate)'
  if (code === 'ECONNRESET' || code === 'EPIPE')
    return 'it accepts the connection and closes it: it is no Skein agent, or one that restarts or has too many connections'
  return null
}

/** The words for what a stranger has said in plain text, `ended`: and then closed the connection. Pure. */
export function describeBytes(bytes: Buffer, ended: boolean): string {
  const text = bytes.toString('latin1')
  const status = /^HTTP\/\d\.\d \d{3}/.exec(text)?.[0]
  if (status !== undefined) {
    const server = /\r\nserver: *([^\r\n]*)/i.exec(text)?.[1]
    return `it answers in plain HTTP (${status}${server === undefined ? '' : `, Server: ${printableBytes(server)}`}): it is no Skein agent`
  }
  // An alert (21) or a handshake record (22) of any version.
  if (/^[\x15\x16]\x03/.test(text)) return 'it is a TLS server but no Skein agent'
  if (bytes.length === 0) return `it speaks no TLS${ended ? ' and closes the connection' : ''}: it is no Skein agent`
  return `it sends bytes that are no TLS (${printableBytes(text)}): it is no Skein agent`
}

/** The first bytes between quotes, those that are not printable ASCII as `\xNN`. */
export function printableBytes(bytes: Buffer | string): string {
  const text = typeof bytes === 'string' ? bytes : bytes.toString('latin1')
  const shown = text
    .slice(0, SHOWN_BYTES)
    .replace(/[^\x20-\x7e]|["\\]/g, character => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`)
  return `"${shown}"${text.length > SHOWN_BYTES ? '...' : ''}`
}

/**
 * Names what answers at one address. `foundBy` is the DNS name that gave the address, null: none. The returned function never
 * rejects and takes at most a second.
 */
export function createForeignAgentProbe(
  to: { readonly host: string; readonly port: number },
  foundBy: string | null,
): (failed: FailedHandshake) => Promise<string> {
  const where =
    foundBy === null ? 'perhaps another service uses this address' : `perhaps another service has the DNS name ${foundBy} too`
  let asked: { readonly at: number; readonly words: Promise<string> } | null = null
  return async failed => {
    const words = describeHandshake(failed)
    const now = performance.now()
    if (words === null && (asked === null || now - asked.at >= ASK_EVERY_MS)) asked = { at: now, words: ask(to) }
    else if (words !== null) asked = null
    const told = words ?? (await asked?.words) ?? ''
    return told.includes('another secret') ? told : `${told}; ${where}`
  }
}

/** One plain request on a connection of its own. */
function ask(to: { readonly host: string; readonly port: number }): Promise<string> {
  return new Promise(resolve => {
    let got = Buffer.alloc(0)
    const socket = connect({ host: to.host, port: to.port })
    const finish = (ended: boolean): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(describeBytes(got, ended))
    }
    const timer = setTimeout(finish, READ_MS, false)
    socket.on('connect', () => socket.write('GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n'))
    socket.on('data', (chunk: Buffer) => {
      got = Buffer.concat([got, chunk.subarray(0, READ_BYTES - got.length)])
      // A head ends with an empty line; anything else has shown itself by its first bytes.
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
