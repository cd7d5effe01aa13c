// `skein agent`: a read-only window on one manager's Docker API for replicas that hold the cluster secret. It opens channels
// (channel.ts), lets the listed GETs through (allowed.ts), passes on only the fields that discovery needs, and bounds
// connections, time and bytes on both sides. Spec: design, section 5 (agent); issue section 5.

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
  /** The port it listens on (the options may ask for 0: any). */
  readonly port: number
  /** Ends every connection; resolves when none is left. */
  stop(): Promise<void>
}

/** What a stranger, or a replica gone wild, can take up at most. */
const MOST_CONNECTIONS = 512
/** From one address: a replica has about ten, and several may share a node. */
const MOST_PER_ADDRESS = 128
const MOST_EVENT_STREAMS = 128
/** Addresses for which the last log line is remembered. */
const MAX_LOGGED_ADDRESSES = 1_000
const HANDSHAKE_MS = 5_000
const REQUEST_MS = 10_000
/** A connection on which nothing moves, a client that does not read included; event streams have TCP keep-alive instead. */
const IDLE_MS = 60_000
/** An empty line so often on every event stream: a replica tells by it that the stream and this agent are alive, ms. */
const HEARTBEAT_MS = 500
/** Events that a slow client has not taken yet. */
const EVENT_BACKLOG_BYTES = 1024 * 1024

/** Starts to listen. Rejects when the address cannot be listened on or the Docker endpoint is none. */
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
  server.maxConnections = MOST_CONNECTIONS
  server.setTimeout(IDLE_MS)
  // One stranger that opens connections and says nothing must not keep the replicas out.
  server.on('connection', (socket: Socket) => {
    const address = socket.remoteAddress ?? 'unknown'
    const count = perAddress.get(address) ?? 0
    if (count >= MOST_PER_ADDRESS) return void socket.destroy()
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
    log.warn({ address, reason, ...(suppressed > 0 ? { times: suppressed + 1 } : {}) }, 'a client was turned away')
  })

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url = '' } = request
    // Nobody's body is wanted; the connection goes with it.
    const hasBody = request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) > 0
    const verdict = checkRequest(method, url)
    if (!verdict.ok || hasBody) {
      const message = verdict.ok ? 'a request body is not allowed' : verdict.message
      const address = request.socket.remoteAddress ?? 'unknown'
      if (refusedLog.take(address, performance.now())) {
        log.warn({ address, method, path: url.slice(0, 200), reason: message }, 'a request was refused')
      }
      return sendJson(response, 403, { message }, hasBody)
    }
    log.debug({ address: request.socket.remoteAddress, path: verdict.subject }, 'a call')
    if (verdict.subject === '/events') return serveEvents(request, response)
    const result = await upstream.get(verdict.path)
    tellUnusable(result)
    if (!result.ok) return sendJson(response, result.status, { message: result.message }, false)
    return send(response, verdict.subject, result.value)
  }

  /** The replicas tell what they get; whoever looks at the agent should find it there as well. */
  function tellUnusable(result: UpstreamResult): void {
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
    if (streams >= MOST_EVENT_STREAMS) {
      sendJson(response, 503, { message: 'too many event streams' }, false)
      return
    }
    streams++
    let heartbeat: NodeJS.Timeout | undefined
    const beat = (): void => {
      // To a client that does not read, nothing is said by saying more.
      if (response.writableLength === 0) response.write('\n')
    }
    request.socket.setTimeout(0)
    request.socket.setKeepAlive(true, 15_000)
    const stop = upstream.events(
      () => {
        response.writeHead(200, { 'content-type': 'application/json' })
        response.flushHeaders()
        // The first one at once: it says that more will come.
        response.write('\n')
        heartbeat = setInterval(beat, HEARTBEAT_MS)
      },
      event => {
        if (response.writableLength > EVENT_BACKLOG_BYTES) response.destroy()
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
  // A socket that is not there is found out now, not when the first replica asks.
  void upstream.get('/info').then(tellUnusable)
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
