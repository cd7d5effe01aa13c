// The HTTP transport under dockerode: one GET to one manager, bounded in time and size, without redirects. It replaces
// docker-modem's transport, which buffers answers of any size, follows redirects (an unknown scheme throws) and has no overall
// timeout; a manager is an untrusted peer. Specification: RFC 9112.

import type { Agent, ClientRequest, IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { httpRequest } from '../../util/lean-imports.ts'
import { CallFailure, classifyError, classifyStatus, describeServer, quote } from './call-failure.ts'

export interface Limits {
  /** From the call to the last byte of the answer. */
  readonly callTimeoutMs: number
  /** From the call to the connection. Without an answer to the SYN in this time the host is unreachable. */
  readonly connectTimeoutMs: number
  /** Largest answer in bytes. */
  readonly answerBytes: number
}

/** The request of docker-modem: options of node:http, and whether the caller wants the stream (events) or the parsed body. */
export interface ModemRequest {
  readonly options: Record<string, unknown>
  readonly stream: boolean
}

const ERROR_BYTES = 16 * 1024

/** Performs one GET. Calls back exactly once: with parsed JSON (or the text OK of /_ping), or with the stream of the answer. */
export function performCall(
  call: ModemRequest,
  secure: boolean,
  agent: Agent,
  limits: Limits,
  callback: (error: CallFailure | null, result: unknown) => void,
): void {
  let done = false
  let connected = false
  const received = { bytes: 0 }
  const { signal, ...options } = call.options as { signal?: AbortSignal; path?: string }
  let request: ClientRequest
  /** Marks a failure during the TLS handshake. */
  const withHandshake = (failure: CallFailure, error: Error | null): CallFailure => {
    const { socket } = request
    if (connected && socket !== null && 'secureConnecting' in socket && socket.secureConnecting === true)
      failure.handshake = { error, waitedMs: limits.callTimeoutMs }
    return failure
  }
  const finish = (error: CallFailure | null, result: unknown): void => {
    if (done) return
    done = true
    clearTimeout(connectTimer)
    clearTimeout(callTimer)
    if (error !== null) request.destroy()
    callback(error, result)
  }
  const onAbort = (): void => {
    finish(new CallFailure('unreachable', 'aborted'), null)
    request.destroy()
  }
  const connectTimer = setTimeout(() => {
    if (!connected) finish(new CallFailure('unreachable', `no connection within ${limits.connectTimeoutMs} ms`), null)
  }, limits.connectTimeoutMs)
  const callTimer = setTimeout(() => {
    // A large answer over a slow link times out too; the number of bytes distinguishes it from a manager that hangs.
    const some = received.bytes === 0 ? '' : `, only ${Math.ceil(received.bytes / 1024)} KiB of it`
    finish(withHandshake(new CallFailure('timeout', `no complete answer within ${limits.callTimeoutMs} ms${some}`), null), null)
  }, limits.callTimeoutMs)
  try {
    request = (secure ? httpsRequest : httpRequest)({ ...options, agent, method: 'GET' })
  } catch (error) {
    clearTimeout(connectTimer)
    clearTimeout(callTimer)
    callback(new CallFailure('bad-answer', messageOf(error)), null)
    return
  }
  request.on('error', error => finish(withHandshake(classifyError(error), error), null))
  if (signal?.aborted) {
    onAbort()
    return
  }
  signal?.addEventListener('abort', onAbort, { once: true })
  request.once('close', () => {
    signal?.removeEventListener('abort', onAbort)
    finish(new CallFailure('unreachable', 'the connection was closed before the answer'), null)
  })
  request.on('socket', socket => {
    if (!socket.connecting) connected = true
    else socket.once('connect', () => (connected = true))
  })
  // Skein never asks for an upgrade.
  request.on('upgrade', (_response, socket) => socket.destroy())
  request.on('response', response => {
    connected = true
    if (call.stream && response.statusCode === 200) {
      finish(null, response)
      return
    }
    readBody(response, limits.answerBytes, received, finish)
  })
  request.end()
}

function readBody(
  response: IncomingMessage,
  maxBytes: number,
  received: { bytes: number },
  finish: (error: CallFailure | null, result: unknown) => void,
): void {
  const status = response.statusCode ?? 0
  const ok = status === 200
  const limit = ok ? maxBytes : ERROR_BYTES
  const chunks: Buffer[] = []
  const server = String(response.headers.server ?? '')
  const conclude = (): void => {
    const body = Buffer.concat(chunks).toString('utf8')
    const result = ok ? parseAnswer(response.headers['content-type'] ?? '', body, server) : classifyStatus(status, body, server)
    if (result instanceof CallFailure) finish(result, null)
    else finish(null, result)
  }
  response.on('error', error => finish(classifyError(error), null))
  response.on('aborted', () => finish(new CallFailure('unreachable', 'the connection was lost during the answer'), null))
  if (ok && Number(response.headers['content-length'] ?? 0) > limit) {
    finish(tooLarge(limit), null)
    return
  }
  response.on('data', (chunk: Buffer) => {
    received.bytes += chunk.length
    if (received.bytes <= limit) chunks.push(chunk)
    else if (ok) {
      // Frees the chunks now instead of with the request.
      chunks.length = 0
      finish(tooLarge(limit), null)
    } else conclude()
  })
  response.on('end', conclude)
}

/** JSON, or the text OK of /_ping. */
function parseAnswer(type: string, body: string, server: string): unknown {
  if (!type.includes('json')) {
    if (body === 'OK') return body
    return new CallFailure(
      'bad-answer',
      `expected JSON from the Docker API, got ${quote(type === '' ? body : type)}${describeServer(server)}`,
    )
  }
  try {
    return JSON.parse(body)
  } catch {
    return new CallFailure('bad-answer', `expected JSON from the Docker API, got ${quote(body)}`)
  }
}

function tooLarge(limit: number): CallFailure {
  return new CallFailure('bad-answer', `the answer is larger than ${limit} bytes`)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
