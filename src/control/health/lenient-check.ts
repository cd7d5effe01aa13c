// A health check for servers whose responses undici rejects although data workers repair them (proxy/http1/head-repair.ts): a server
// must not fail its check for faults that requests survive. One request on its own connection; only the status counts. Bounded by
// the caller's signal and by the size of the head.

import { connect as connectTcp } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { lenientHeadEnd } from '../../proxy/http1/head-repair.ts'
import { parseResponseHead, repairResponseHead } from '../../proxy/http1/parse-head.ts'
import { Head, type HeadLimits } from '../../proxy/message/head.ts'

export interface LenientRequest {
  readonly scheme: 'http' | 'https'
  readonly host: string
  readonly port: number
  readonly path: string
  /** Lower-case names; all of them are valid, because undici has sent them before. */
  readonly headers: Readonly<Record<string, string>>
}

/** True for errors with which undici reports a malformed or incomplete response. Errors of its parser have no code. */
export function isUnreadableResponse(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return (
    error.name === 'HTTPParserError' ||
    error.name === 'ResponseContentLengthMismatchError' ||
    (error.name === 'SocketError' && error.message === 'bad response')
  )
}

/** The status of the final response. Rejects if there is none that a data worker would accept. */
export function lenientStatus(request: LenientRequest, maxHeadBytes: number, signal: AbortSignal): Promise<number> {
  const { scheme, host, port, path, headers } = request
  const limits: HeadLimits = { headerBytes: maxHeadBytes, headerCount: 128, uriBytes: maxHeadBytes }
  return new Promise((resolve, reject) => {
    const target = { host, port }
    const socket = scheme === 'http' ? connectTcp(target) : connectTls({ ...target, rejectUnauthorized: false })
    let received: Buffer = Buffer.alloc(0)
    const end = (error: Error | null, status = 0) => {
      signal.removeEventListener('abort', aborted)
      socket.destroy()
      if (error === null) resolve(status)
      else reject(error)
    }
    const aborted = () => end(signal.reason instanceof Error ? signal.reason : new Error('aborted'))
    signal.addEventListener('abort', aborted)
    if (signal.aborted) aborted()
    socket.on('error', end)
    socket.on('close', () => end(new Error('closed before it answered')))
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk])
      const head = new Head()
      for (let behind = lenientHeadEnd(received, 0); behind >= 0; behind = lenientHeadEnd(received, 0)) {
        const text = received.latin1Slice(0, behind)
        received = received.subarray(behind)
        if (parseResponseHead(head, text, limits) !== 0 && repairResponseHead(head, text, limits) !== 0) {
          end(new Error(head.problem))
          return
        }
        if (head.status >= 200 || head.status === 101) {
          end(null, head.status)
          return
        }
      }
      if (received.length > maxHeadBytes) end(new Error('answered with too large a head'))
    })
    const name = host.includes(':') ? `[${host}]` : host
    const authority = port === (scheme === 'https' ? 443 : 80) ? name : `${name}:${port}`
    const fields = { host: authority, ...headers, connection: 'close' }
    const lines = Object.entries(fields).map(([field, value]) => `${field}: ${value}\r\n`)
    socket.write(`GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`)
  })
}
