// The service behind the edge in the lab: answers who it is, tells what it was sent, and dies at once on SIGTERM, as careless applications do.
// Environment: SERVICE (its name in answers), VERSION, PORT (8080), START_MS (listens only after so long), GRACE_MS (on SIGTERM; 0: at once).

import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { hostname } from 'node:os'

const number = (name: string, fallback: number): number => Number(process.env[name] ?? fallback)
const service = process.env.SERVICE ?? 'backend'
const version = process.env.VERSION ?? '1'
const filler = 'x'.repeat(65_536)

function answer(request: IncomingMessage, response: ServerResponse, length: number, sha256: string): void {
  const query = new URL(request.url ?? '/', 'http://backend').searchParams
  const body = JSON.stringify({
    service,
    version,
    host: hostname(),
    nonce: query.get('nonce'),
    method: request.method,
    path: request.url,
    forwardedFor: request.headers['x-forwarded-for'] ?? null,
    length,
    sha256,
    pad: filler.slice(0, Math.min(Number(query.get('pad') ?? 0), filler.length)),
  })
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
  response.end(body)
}

const server = createServer((request, response) => {
  const hash = createHash('sha256')
  let length = 0
  request.on('data', (chunk: Buffer) => {
    hash.update(chunk)
    length += chunk.length
  })
  request.on('end', () => {
    const slowMs = Math.min(Number(new URL(request.url ?? '/', 'http://backend').searchParams.get('ms') ?? 0), 60_000)
    const sha256 = hash.digest('hex')
    if (slowMs > 0) setTimeout(() => answer(request, response, length, sha256), slowMs)
    else answer(request, response, length, sha256)
  })
})
server.keepAliveTimeout = 65_000

process.on('SIGTERM', () => {
  const graceMs = number('GRACE_MS', 0)
  if (graceMs === 0) process.exit(0)
  server.close(() => process.exit(0))
  setTimeout(() => process.exit(0), graceMs)
})
setTimeout(() => server.listen(number('PORT', 8080), '::'), number('START_MS', 0))
