// The bytes under dockerode: one HTTP request to one manager, bounded in time and size, without redirects. dockerode's own
// transport buffers answers of any size, follows redirects (also to schemes it does not know, which throws) and has no overall
// time-out; a manager is as hostile as anything else on the network, so this one replaces it. Spec: RFC 9112.

import type { Agent, ClientRequest, IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { httpRequest } from '../../util/lean-imports.ts'
import { CallFailure, classifyError, classifyStatus, otherServer, quote } from './call-failure.ts'

export interface Limits {
  /** From the call to the last byte of its answer. */
  readonly callTimeoutMs: number
  /** From the call to a connection; no answer to a SYN for so long means that nobody is there. */
  readonly connectTimeoutMs: number
  /** Bytes of one answer, at most. */
  readonly answerBytes: number
}

/**
 * What docker-modem hands over: node:http request options, and whether the caller wants the stream (events) or the parsed body.
 */
export interface ModemRequest {
  readonly options: Record<string, unknown>
  readonly stream: boolean
}

const ERROR_BYTES = 16 * 1024

/**
 * Performs one GET; calls back exactly once, with parsed JSON (or text that is not JSON for /_ping), or with the answer's
 * stream.
 */
export function performCall(
  call: ModemRequest,
  secure: boolean,
  agent: Agent,
  limits: Limits,
  callback: (error: CallFailure | null, result: unknown) => void,
): void {
  let done = false
  let connected = false
  const came = { bytes: 0 }
  const { signal, ...options } = call.options as { signal?: AbortSignal; path?: string }
  let request: ClientRequest
  /** Marks a failure of a connection whose TLS handshake is not over. */
  const failedBy = (failure: CallFailure, error: Error | null): CallFailure => {
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
    finish(new CallFailure('unreachable', 'given up'), null)
    request.destroy()
  }
  const connectTimer = setTimeout(() => {
    if (!connected) finish(new CallFailure('unreachable', `no connection within ${limits.connectTimeoutMs} ms`), null)
  }, limits.connectTimeoutMs)
  const callTimer = setTimeout(() => {
    // A big swarm on a thin line looks like this too; what has come tells it from a manager that hangs.
    const some = came.bytes === 0 ? '' : `, only ${Math.ceil(came.bytes / 1024)} KiB of it`
    finish(failedBy(new CallFailure('timeout', `no whole answer within ${limits.callTimeoutMs} ms${some}`), null), null)
  }, limits.callTimeoutMs)
  try {
    request = (secure ? httpsRequest : httpRequest)({ ...options, agent, method: 'GET' })
  } catch (error) {
    clearTimeout(connectTimer)
    clearTimeout(callTimer)
    callback(new CallFailure('bad-answer', messageOf(error)), null)
    return
  }
  request.on('error', error => finish(failedBy(classifyError(error), error), null))
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
  // An upgrade or an answer to CONNECT was never asked for.
  request.on('upgrade', (_response, socket) => socket.destroy())
  request.on('response', response => {
    connected = true
    if (call.stream && response.statusCode === 200) {
      finish(null, response)
      return
    }
    readBody(response, limits.answerBytes, came, finish)
  })
  request.end()
}

function readBody(
  response: IncomingMessage,
  most: number,
  came: { bytes: number },
  finish: (error: CallFailure | null, result: unknown) => void,
): void {
  const status = response.statusCode ?? 0
  const good = status === 200
  const limit = good ? most : ERROR_BYTES
  const chunks: Buffer[] = []
  const server = String(response.headers.server ?? '')
  const conclude = (): void => {
    const body = Buffer.concat(chunks).toString('utf8')
    const result = good ? parseAnswer(response.headers['content-type'] ?? '', body, server) : classifyStatus(status, body, server)
    if (result instanceof CallFailure) finish(result, null)
    else finish(null, result)
  }
  response.on('error', error => finish(classifyError(error), null))
  response.on('aborted', () =>
    finish(new CallFailure('unreachable', 'the connection was lost in the middle of the answer'), null),
  )
  if (good && Number(response.headers['content-length'] ?? 0) > limit) {
    finish(tooLarge(limit), null)
    return
  }
  response.on('data', (chunk: Buffer) => {
    came.bytes += chunk.length
    if (came.bytes <= limit) chunks.push(chunk)
    else if (good) {
      // What was read is of no use, and megabytes of it should not wait for the request object to be forgotten.
      chunks.length = 0
      finish(tooLarge(limit), null)
    } else conclude()
  })
  response.on('end', conclude)
}

/** JSON; or the "OK" of /_ping, which is text. */
function parseAnswer(type: string, body: string, server: string): unknown {
  if (!type.includes('json')) {
    if (body === 'OK') return body
    return new CallFailure(
      'bad-answer',
      `expected JSON from the Docker API, got ${quote(type === '' ? body : type)}${otherServer(server)}`,
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
