// `skein agent`: serves a read-only, filtered view of one manager's Docker API to replicas that hold the cluster secret. Accepts the
// listed GETs (allow-list.ts) over an encrypted channel (util/agent-channel.ts), returns only the fields that discovery needs, and
// bounds connections, time and bytes on both sides.

import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { Logger } from 'pino'
import { KeyedLogLimit } from '../../cluster/rate-limit.ts'
import type { AgentOptions } from '../options/options.ts'
import { parseEndpoint } from '../providers/docker-api/endpoint.ts'
import { agentKey, serverChannelOptions } from '../util/agent-channel.ts'
import { listenError } from '../util/listen-address.ts'
import { checkRequest, filterResponse, type Subject } from './allow-list.ts'
import { createUpstream, type Upstream, type UpstreamResult } from './upstream.ts'

export interface RunningAgent {
  /** The port that it listens on; the options may ask for port 0, any free port. */
  readonly port: number
  /** Ends every connection; resolves once all are closed. */
  stop(): Promise<void>
}

/** Bounds what unauthenticated clients or a faulty replica can consume. */
const MAX_CONNECTIONS = 512
/** From one address: a replica has about ten, and several replicas may share a node. */
const MAX_PER_ADDRESS = 128
const MAX_EVENT_STREAMS = 128
/** Addresses for which the last log line is remembered. */
const MAX_LOGGED_ADDRESSES = 1_000
const HANDSHAKE_MS = 5_000
const REQUEST_MS = 10_000
/** Closes a connection without traffic, such as that of a client that does not read. Event streams use TCP keep-alive instead. */
const IDLE_MS = 60_000
/** Interval of empty lines on an event stream, by which a replica detects that the stream and this agent are alive, ms. */
const HEARTBEAT_MS = 500
/** Buffered events beyond which a slow client's stream is closed. */
const MAX_EVENT_BACKLOG_BYTES = 1024 * 1024

/** Starts the agent. Rejects if it cannot listen on the address, or if the Docker endpoint is invalid. */
export async function startAgent(options: AgentOptions, log: Logger): Promise<RunningAgent> {
  const docker = parseEndpoint(options.docker)
  if (!docker.ok) throw new Error(`docker ${docker.message}`)
  const upstream = createUpstream(docker.endpoint)
  const handshakeLog = new KeyedLogLimit(MAX_LOGGED_ADDRESSES)
  const refusedLog = new KeyedLogLimit(MAX_LOGGED_ADDRESSES)
  const dockerLog = new KeyedLogLimit(MAX_LOGGED_ADDRESSES)
  const perAddress = new Map<string, number>()
  let streams = 0

  const server = createServer(
    {
      ...serverChannelOptions(options.secrets.map(agentKey)),
      handshakeTimeout: HANDSHAKE_MS,
      headersTimeout: REQUEST_MS,
      requestTimeout: REQUEST_MS,
      keepAliveTimeout: IDLE_MS,
      maxHeaderSize: 16 * 1024,
      connectionsCheckingInterval: 2_000,
    },
    (request, response) => {
      answer(request, response).catch((error: unknown) => {
        log.error({ err: error }, 'the agent failed to answer')
        response.destroy()
      })
    },
  )
  server.maxConnections = MAX_CONNECTIONS
  server.setTimeout(IDLE_MS)
  // One host that opens idle connections must not lock out the replicas.
  server.on('connection', (socket: Socket) => {
    const address = socket.remoteAddress ?? 'unknown'
    const count = perAddress.get(address) ?? 0
    if (count >= MAX_PER_ADDRESS) return void socket.destroy()
    perAddress.set(address, count + 1)
    socket.once('close', () => {
      const left = (perAddress.get(address) ?? 1) - 1
      if (left === 0) perAddress.delete(address)
      else perAddress.set(address, left)
    })
  })
  server.on('tlsClientError', (error, socket) => {
    const address = socket.remoteAddress ?? 'unknown'
    const code = 'code' in error ? String(error.code) : error.message
    if (code === 'ECONNRESET' || code === 'EPIPE')
      return log.debug({ address, code }, 'a connection was closed before the handshake')
    if (!handshakeLog.take(address, performance.now())) return
    const { suppressed } = handshakeLog
    const reason = /BINDER|DECRYPT|BAD_RECORD/.test(code)
      ? 'it does not hold the same secret'
      : `it does not speak this agent's protocol (${code})`
    log.warn({ address, reason, ...(suppressed > 0 ? { times: suppressed + 1 } : {}) }, 'refused a client')
  })

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url = '' } = request
    // No allowed request has a body. The connection is closed, so the body need not be read.
    const hasBody = request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) > 0
    const verdict = checkRequest(method, url)
    if (!verdict.ok || hasBody) {
      const message = verdict.ok ? 'a request body is not allowed' : verdict.message
      const address = request.socket.remoteAddress ?? 'unknown'
      if (refusedLog.take(address, performance.now())) {
        log.warn({ address, method, path: url.slice(0, 200), reason: message }, 'refused a request')
      }
      return sendJson(response, 403, { message }, hasBody)
    }
    log.debug({ address: request.socket.remoteAddress, path: verdict.subject }, 'request')
    if (verdict.subject === '/events') return serveEvents(request, response)
    const result = await upstream.get(verdict.path)
    logFailure(result)
    if (!result.ok) return sendJson(response, result.status, { message: result.message }, false)
    return send(response, verdict.subject, result.value)
  }

  /** Replicas report failed requests themselves; this shows them in the agent's log too. */
  function logFailure(result: UpstreamResult): void {
    if (result.ok || result.status === 404) return
    if (dockerLog.take(result.message, performance.now()))
      log.warn({ docker: options.docker, reason: result.message }, 'Docker cannot be read')
  }

  function send(response: ServerResponse, subject: Subject, value: unknown): void {
    const filtered = filterResponse(subject, value)
    if (filtered === null) {
      sendJson(response, 502, { message: `Docker's answer to ${subject} is not what was expected` }, false)
    } else if (typeof filtered !== 'string') {
      sendJson(response, 200, filtered, false)
    } else {
      response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8', 'content-length': Buffer.byteLength(filtered) })
      response.end(filtered)
    }
  }

  function serveEvents(request: IncomingMessage, response: ServerResponse): void {
    if (streams >= MAX_EVENT_STREAMS) {
      sendJson(response, 503, { message: 'too many event streams' }, false)
      return
    }
    streams++
    let heartbeat: NodeJS.Timeout | undefined
    const sendHeartbeat = (): void => {
      // A client that does not read gets no further lines, so that nothing piles up.
      if (response.writableLength === 0) response.write('\n')
    }
    request.socket.setTimeout(0)
    request.socket.setKeepAlive(true, 15_000)
    const stop = upstream.events(
      () => {
        response.writeHead(200, { 'content-type': 'application/json' })
        response.flushHeaders()
        // The first heartbeat at once: it shows that this agent sends them.
        response.write('\n')
        heartbeat = setInterval(sendHeartbeat, HEARTBEAT_MS)
      },
      event => {
        if (response.writableLength > MAX_EVENT_BACKLOG_BYTES) response.destroy()
        else response.write(`${JSON.stringify(event)}\n`)
      },
      reason => {
        clearInterval(heartbeat)
        if (response.headersSent) response.end()
        else sendJson(response, 502, { message: `no events from Docker: ${reason}` }, false)
      },
    )
    response.once('close', () => {
      clearInterval(heartbeat)
      streams--
      stop()
    })
  }

  await listen(server, options.listen)
  const port = (server.address() as AddressInfo).port
  log.info({ host: options.listen.host, port, docker: options.docker }, 'the agent listens')
  // Detects a missing socket now instead of at the first request of a replica.
  void upstream.get('/info').then(logFailure)
  return {
    port,
    stop: () => stopServer(server, upstream),
  }
}

function listen(server: ReturnType<typeof createServer>, { host, port }: AgentOptions['listen']): Promise<void> {
  return new Promise((resolve, reject) => {
    const refuse = (error: Error): void => reject(listenError('agent', host, port, error))
    server.once('error', refuse)
    server.listen(port, host, () => {
      server.off('error', refuse)
      resolve()
    })
  })
}

function stopServer(server: ReturnType<typeof createServer>, upstream: Upstream): Promise<void> {
  return new Promise(resolve => {
    server.close(() => resolve())
    upstream.close()
    server.closeAllConnections()
  })
}

function sendJson(response: ServerResponse, status: number, value: unknown, close: boolean): void {
  const body = Buffer.from(`${JSON.stringify(value)}\n`)
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': body.length,
    ...(close ? { connection: 'close' } : {}),
  })
  response.end(body)
  if (close) response.once('finish', () => (response.socket as Socket | null)?.destroySoon())
}
