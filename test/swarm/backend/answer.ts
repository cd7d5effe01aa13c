// What the lab's backend says to a request: who it is and what it was sent. The load generator compares every part of it.

import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { hostname } from 'node:os'
import type { AppSession } from './app.ts'

const filler = 'x'.repeat(65_536)

/**
 * The answer to a request with the given body, as JSON; `?nonce=` is repeated, `?pad=` says how many bytes of filler are wanted.
 * `session`: what the application makes of the request's session, where it was asked for one.
 */
export function answer(service: string, request: IncomingMessage, body: Buffer, session: AppSession | null = null): string {
  const query = new URL(request.url ?? '/', 'http://backend').searchParams
  return JSON.stringify({
    service,
    version: process.env.VERSION ?? '1',
    host: hostname(),
    ...(session === null ? {} : { session }),
    nonce: query.get('nonce'),
    method: request.method,
    path: request.url,
    forwardedFor: request.headers['x-forwarded-for'] ?? null,
    length: body.length,
    sha256: createHash('sha256').update(body).digest('hex'),
    pad: filler.slice(0, Math.min(Number(query.get('pad') ?? 0), filler.length)),
  })
}
