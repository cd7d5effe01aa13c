// The admin API: GET /api/health, /api/snapshot, /api/managers, /api/cluster, /api/breakers and /api/state as JSON, /metrics as
// Prometheus reads it; on its own address only and read-only. Its answers tell where servers are, so it is bounded, sends no CORS
// header, and refuses Host names that it does not know: a web page could otherwise reach it through a name that resolves to this
// address (DNS rebinding).

import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { type AddressInfo, isIP } from 'node:net'
import { createHttpServer } from '../util/lean-imports.ts'
import { hostAndPort, listenError } from '../util/listen-address.ts'
import type { Log } from '../util/log.ts'
import type { AdminSource } from './admin-source.ts'

export interface AdminApiOptions {
  readonly host: string
  /** 0: any free port; the answer says which. */
  readonly port: number
  /** Further host names under which it may be asked. */
  readonly names?: readonly string[]
}

export interface AdminApi {
  readonly port: number
  /** Ends all connections; resolves when nothing is left. */
  stop(): Promise<void>
}

interface Answer {
  readonly status: number
  /** A text goes as it is, everything else as JSON. */
  readonly body: unknown
  readonly type?: string
}

const PAGES = '/api/health, /api/snapshot, /api/managers, /api/cluster, /api/breakers, /api/state and /metrics'

/**
 * Starts to listen; rejects with node's error code (EADDRINUSE, EACCES ...) and a message for people when the address cannot be
 * had.
 */
export function startAdminApi(options: AdminApiOptions, source: AdminSource, log: Log): Promise<AdminApi> {
  const names = new Set(['localhost', options.host.toLowerCase(), ...(options.names ?? []).map(name => name.toLowerCase())])
  const server = createHttpServer(
    { maxHeaderSize: 8192, headersTimeout: 5000, requestTimeout: 5000, keepAliveTimeout: 5000 },
    (request, response) => {
      const failed = (error: unknown): void => {
        log.error({ err: error, url: request.url }, 'the admin API failed')
        send(request, response, { status: 500, body: { error: 'this answer could not be made; the log says why' } })
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
      server.on('error', error => log.error({ err: error }, 'the admin API has an error'))
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
      body: { error: 'this host name is not known here; ask by IP address or localhost, or allow the name with --admin-host' },
    }
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') return { status: 405, body: { error: 'only GET is answered' } }
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
      return { status: 404, body: { error: `no such page; there are ${PAGES}` } }
  }
}

/** What makes metrics is loaded when somebody asks for them. */
async function metricsAnswer(source: AdminSource): Promise<Answer> {
  const { METRICS_TYPE, metricsText } = await import('./metrics.ts')
  return { status: 200, body: await metricsText(source), type: METRICS_TYPE }
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? '/').split('?', 1)[0] as string
}

/** An IP address, with or without a port, or one of the names. */
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
    // A request body is never read: the connection ends instead.
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
