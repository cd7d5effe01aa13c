// Answers of the proxy's own: a status, a short body, the request id that also stands in the log. Nothing of the inside is told
// to a client.

/**
 * Reasons of the statuses that Skein itself answers with (not from node:http, which would load far more than a data worker
 * needs).
 */
const REASONS: Readonly<Record<number, string>> = {
  301: 'Moved Permanently',
  308: 'Permanent Redirect',
  400: 'Bad Request',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  413: 'Content Too Large',
  414: 'URI Too Long',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  505: 'HTTP Version Not Supported',
}

/**
 * The whole answer as it goes on the wire, with further `lines`. `close` adds Connection: close; a HEAD request gets no body. A
 * 503 says when to come back, in whole seconds.
 */
export function ownAnswer(
  status: number,
  requestId: string,
  method: string,
  close: boolean,
  lines = '',
  retryAfterS = 1,
): string {
  const body = `${status} ${REASONS[status] ?? 'Error'}\nrequest id: ${requestId}\n`
  return (
    `HTTP/1.1 ${status} ${REASONS[status] ?? 'Error'}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${body.length}\r\n` +
    `Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nX-Request-Id: ${requestId}\r\n${extra(status, retryAfterS)}${lines}` +
    `${close ? 'Connection: close\r\n' : ''}\r\n${method === 'HEAD' ? '' : body}`
  )
}

/** The health answer of an entry point, for load balancers. */
export function pingAnswer(draining: boolean, method: string, close: boolean): string {
  const body = draining ? 'draining\n' : 'OK\n'
  return (
    `HTTP/1.1 ${draining ? '503 Service Unavailable' : '200 OK'}\r\nContent-Type: text/plain; charset=utf-8\r\n` +
    `Content-Length: ${body.length}\r\nCache-Control: no-store\r\n${close ? 'Connection: close\r\n' : ''}\r\n` +
    (method === 'HEAD' ? '' : body)
  )
}

function extra(status: number, retryAfterS: number): string {
  if (status === 405) return 'Allow: GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS\r\n'
  return status === 503 ? `Retry-After: ${retryAfterS}\r\n` : ''
}

/** Ids that are unique among the replicas and short enough to be read out: name, worker, a start stamp, a count. */
export class RequestIds {
  private readonly prefix: string
  private count = 0

  constructor(name: string, worker: number, startMs: number) {
    this.prefix = `${name.replace(/[^A-Za-z0-9._-]/g, '_').slice(0, 64)}-${worker.toString(36)}${startMs.toString(36)}-`
  }

  next(): string {
    return this.prefix + (++this.count).toString(36)
  }
}
