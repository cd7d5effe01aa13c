// The answer of the lab's backend: its name and the request that it received. The load generator compares every part.

import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { hostname } from 'node:os'
import type { AppSession } from './app.ts'

const filler = 'x'.repeat(65_536)

/**
 * The answer to a request with the given body, as JSON; it repeats `?nonce=` and contains `?pad=` bytes of filler. `session`: the
 * application's view of the request's session, for requests of sessions.
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
