// The service behind the edge in the lab: answers who it is, tells what it was sent, and dies at once on SIGTERM, as careless
// applications do. Environment: SERVICE (its name in answers), VERSION, PORT (8080), START_MS (listens only after so long),
// GRACE_MS (on SIGTERM; 0: at once). `?ms=` delays an answer.

import { createServer } from 'node:http'
import { answer } from './answer.ts'

/** Bodies are kept to be hashed; nothing in the lab sends larger ones. */
const BODY_LIMIT = 4 * 1024 * 1024
const SLOW_LIMIT_MS = 60_000

const service = process.env.SERVICE ?? 'backend'

function setting(name: string, fallback: number): number {
  return Number(process.env[name] ?? fallback)
}

const server = createServer((request, response) => {
  const chunks: Buffer[] = []
  let length = 0
  request.on('data', (chunk: Buffer) => {
    length += chunk.length
    if (length > BODY_LIMIT) request.destroy()
    else chunks.push(chunk)
  })
  request.on('end', () => {
    const slowMs = Number(new URL(request.url ?? '/', 'http://backend').searchParams.get('ms') ?? 0)
    const body = answer(service, request, Buffer.concat(chunks))
    const send = (): void => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }).end(body)
    }
    if (slowMs > 0) setTimeout(send, Math.min(slowMs, SLOW_LIMIT_MS))
    else send()
  })
})
server.keepAliveTimeout = 65_000

process.on('SIGTERM', () => {
  const graceMs = setting('GRACE_MS', 0)
  if (graceMs === 0) process.exit(0)
  server.close(() => process.exit(0))
  setTimeout(() => process.exit(0), graceMs)
})
setTimeout(() => server.listen(setting('PORT', 8080), '::'), setting('START_MS', 0))
