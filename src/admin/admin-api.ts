// The admin API: GET /api/health, /api/snapshot, /api/managers, /api/cluster, /api/breakers and /api/state as JSON, and /metrics in
// Prometheus' format; read-only, on its own address. Its answers contain the servers' addresses, so it sends no CORS header and
// refuses unknown Host names: otherwise a web page could reach it through a name that resolves to this address (DNS rebinding).

import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { type AddressInfo, isIP } from 'node:net'
import { createHttpServer } from '../util/lean-imports.ts'
import { hostAndPort, listenError } from '../util/listen-address.ts'
import type { Log } from '../util/log.ts'
import type { AdminSource } from './admin-source.ts'

export interface AdminApiOptions {
  readonly host: string
  /** 0: any free port, returned in AdminApi.port. */
  readonly port: number
  /** Further accepted host names. */
  readonly names?: readonly string[]
}

export interface AdminApi {
  readonly port: number
  /** Ends all connections; resolves once all are closed. */
  stop(): Promise<void>
}

interface Answer {
  readonly status: number
  /** A string is sent as it is, anything else as JSON. */
  readonly body: unknown
  readonly type?: string
}

const PAGES = '/api/health, /api/snapshot, /api/managers, /api/cluster, /api/breakers, /api/state, /metrics'

/** Starts to listen. Rejects with Node's error code (EADDRINUSE, EACCES ...) and a readable message if that fails. */
export function startAdminApi(options: AdminApiOptions, source: AdminSource, log: Log): Promise<AdminApi> {
  const names = new Set(['localhost', options.host.toLowerCase(), ...(options.names ?? []).map(name => name.toLowerCase())])
  const server = createHttpServer(
    { maxHeaderSize: 8192, headersTimeout: 5000, requestTimeout: 5000, keepAliveTimeout: 5000 },
    (request, response) => {
      const failed = (error: unknown): void => {
        log.error({ err: error, url: request.url }, 'the admin API failed to answer a request')
        send(request, response, { status: 500, body: { error: 'internal error; see the log' } })
      }
      try {
        const answer = answerTo(request, names, source)
        if (answer instanceof Promise) answer.then(made => send(request, response, made)).catch(failed)
        else send(request, response, answer)
      } catch (error) {
        failed(error)
      }
    },
  )
  server.maxConnections = 128
  server.on('clientError', (_error, socket) => socket.destroy())
  return new Promise((resolve, reject) => {
    const refuse = (error: Error): void => reject(listenError('admin API', options.host, options.port, error))
    server.once('error', refuse)
    server.listen({ host: options.host, port: options.port }, () => {
      server.off('error', refuse)
      server.on('error', error => log.error({ err: error }, 'the admin API reported an error'))
      const { port } = server.address() as AddressInfo
      log.info({ host: options.host, port }, `admin API on http://${hostAndPort(options.host, port)}/api/health`)
      resolve({ port, stop: () => stop(server) })
    })
  })
}

function answerTo(request: IncomingMessage, names: ReadonlySet<string>, source: AdminSource): Answer | Promise<Answer> {
  if (!isKnownHost(request.headers.host, names)) {
    return {
      status: 421,
      body: { error: 'unknown host name; use an IP address or localhost, or allow the name with --admin-host' },
    }
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') return { status: 405, body: { error: 'expected GET or HEAD' } }
  switch (pathOf(request)) {
    case '/api/health': {
      const health = source.health()
      return { status: health.status === 'serving' ? 200 : 503, body: health }
    }
    case '/api/snapshot':
      return { status: 200, body: source.snapshot() }
    case '/api/managers':
      return { status: 200, body: source.managers() }
    case '/api/cluster': {
      const cluster = source.cluster()
      if (cluster !== null) return { status: 200, body: cluster }
      return { status: 404, body: { error: 'this replica is not a member of a cluster (--cluster-listen)' } }
    }
    case '/api/breakers':
      return { status: 200, body: source.breakers() }
    case '/api/state':
      return { status: 200, body: source.state() }
    case '/metrics':
      return metricsAnswer(source)
    default:
      return { status: 404, body: { error: `not found; expected one of ${PAGES}` } }
  }
}

/** The code for metrics is loaded with the first request for them. */
async function metricsAnswer(source: AdminSource): Promise<Answer> {
  const { METRICS_TYPE, metricsText } = await import('./metrics.ts')
  return { status: 200, body: await metricsText(source), type: METRICS_TYPE }
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? '/').split('?', 1)[0] as string
}

/** True for an IP address and for one of the names, each with or without a port. */
export function isKnownHost(host: string | undefined, names: ReadonlySet<string>): boolean {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+))(?::\d{1,5})?$/.exec(host ?? '')
  if (match === null) return false
  const name = (match[1] ?? match[2] ?? '').toLowerCase()
  return isIP(name) !== 0 || names.has(name)
}

function send(request: IncomingMessage, response: ServerResponse, { status, body, type }: Answer): void {
  const pretty = /[?&]pretty(?:$|[&=])/.test(request.url ?? '')
  const text = typeof body === 'string' ? body : `${JSON.stringify(body, null, pretty ? 2 : 0)}\n`
  response.writeHead(status, {
    'Content-Type': type ?? 'application/json; charset=utf-8',
    'Content-Length': Buffer.byteLength(text),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    ...(status === 405 ? { Allow: 'GET, HEAD' } : {}),
    // Request bodies are not read, so the connection is closed.
    ...(request.method === 'GET' || request.method === 'HEAD' ? {} : { Connection: 'close' }),
  })
  response.end(request.method === 'HEAD' ? undefined : text)
}

function stop(server: Server): Promise<void> {
  return new Promise(resolve => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}
