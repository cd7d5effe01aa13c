// Local replies: responses that Skein makes itself. A status, a short body with the request id that the log names as well, and
// nothing about the inside. Each codec writes them in its own form.

import { FieldList } from './field-list.ts'

export interface LocalReply {
  readonly status: number
  readonly reason: string
  /** All fields except those about the connection. */
  readonly fields: FieldList
  /** ASCII. A HEAD request gets the fields only. */
  readonly body: string
}

/** Reason phrases of the statuses that Skein replies with. Those of node:http would load far more than a data worker needs. */
const REASONS: Readonly<Record<number, string>> = {
  200: 'OK',
  204: 'No Content',
  301: 'Moved Permanently',
  302: 'Found',
  303: 'See Other',
  304: 'Not Modified',
  307: 'Temporary Redirect',
  308: 'Permanent Redirect',
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
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

/** A refusal, error or redirect. `added` are further fields; a 503 carries Retry-After with `retryAfterS` whole seconds. */
export function localReply(status: number, requestId: string, added: FieldList, retryAfterS = 1): LocalReply {
  const reason = REASONS[status] ?? 'Error'
  const body = `${status} ${reason}\nrequest id: ${requestId}\n`
  const pairs = [
    'Content-Type',
    'text/plain; charset=utf-8',
    'Content-Length',
    String(body.length),
    'Cache-Control',
    'no-store',
    'X-Content-Type-Options',
    'nosniff',
    'X-Request-Id',
    requestId,
  ]
  if (status === 405) pairs.push('Allow', 'GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS')
  else if (status === 503) pairs.push('Retry-After', String(retryAfterS))
  return { status, reason, fields: new FieldList(...pairs, ...added.pairs), body }
}

/** The health check of an entry point, for load balancers in front of it: 200, or 503 while the replica is draining. */
export function healthReply(draining: boolean): LocalReply {
  const body = draining ? 'draining\n' : 'OK\n'
  const fields = new FieldList(
    'Content-Type',
    'text/plain; charset=utf-8',
    'Content-Length',
    String(body.length),
    'Cache-Control',
    'no-store',
  )
  return draining ? { status: 503, reason: 'Service Unavailable', fields, body } : { status: 200, reason: 'OK', fields, body }
}

/** A reply that a middleware gives instead of a server. Admission leaves out `fields` that a middleware may not write. */
export interface MiddlewareReply {
  readonly status: number
  readonly fields: FieldList
  /** Text; null: the usual short body with the request id. */
  readonly body: string | null
}

/** The reply of a middleware with the fields that every local reply has. */
export function completeReply({ status, fields, body }: MiddlewareReply, requestId: string): LocalReply {
  if (body === null) return localReply(status, requestId, fields)
  // The body is written as latin1: its UTF-8 bytes as characters.
  const bytes = Buffer.from(body, 'utf8').latin1Slice()
  const hasBody = status !== 204 && status !== 304
  const length = hasBody ? ['Content-Length', String(bytes.length)] : []
  return {
    status,
    reason: REASONS[status] ?? 'Response',
    fields: new FieldList(...fields.pairs, ...length, 'X-Request-Id', requestId),
    body: hasBody ? bytes : '',
  }
}
