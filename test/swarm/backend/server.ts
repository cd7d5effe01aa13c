// The backend service of the lab: answers with its name and the received request, and exits immediately on SIGTERM, as many
// applications do. Environment: SERVICE (its name in answers), VERSION, PORT (8080), START_MS (delay before it listens), GRACE_MS
// (delay of the exit after SIGTERM; 0: none). `?ms=` delays an answer. `/session` keeps sessions with its own cookie (app.ts). On the
// container's 127.0.0.1:9100 the lab makes it fail (`/fail?edges=e1,e2`) and reads the arrivals (`/arrivals?since=`).

import { createServer } from 'node:http'
import { answer } from './answer.ts'
import { App } from './app.ts'

/** Maximum size of a body, which is hashed in memory. */
const BODY_LIMIT = 4 * 1024 * 1024
const SLOW_LIMIT_MS = 60_000
const CONTROL_PORT = 9100

const service = process.env.SERVICE ?? 'backend'
const app = new App()

function setting(name: string, fallback: number): number {
  return Number(process.env[name] ?? fallback)
}

const server = createServer((request, response) => {
  const chunks: Buffer[] = []
  let length = 0
  const status = app.arrived(request)
  request.on('data', (chunk: Buffer) => {
    length += chunk.length
    if (length > BODY_LIMIT) request.destroy()
    else chunks.push(chunk)
  })
  request.on('end', () => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://backend')
    const slowMs = Number(searchParams.get('ms') ?? 0)
    const { session, setCookie } = pathname === '/session' ? app.session(request) : { session: null, setCookie: null }
    const body = answer(service, request, Buffer.concat(chunks), session)
    const send = (): void => {
      if (setCookie !== null) response.setHeader('set-cookie', setCookie)
      response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }).end(body)
    }
    if (slowMs > 0) setTimeout(send, Math.min(slowMs, SLOW_LIMIT_MS))
    else send()
  })
})
server.keepAliveTimeout = 65_000

const control = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://control')
  if (pathname === '/fail') {
    app.failFor((searchParams.get('edges') ?? '').split(',').filter(edge => edge !== ''))
    response.end('{}')
  } else if (pathname === '/arrivals') {
    response.end(JSON.stringify(app.arrivalsSince(Number(searchParams.get('since') ?? 0))))
  } else {
    response.writeHead(404).end('{}')
  }
})

process.on('SIGTERM', () => {
  const graceMs = setting('GRACE_MS', 0)
  if (graceMs === 0) process.exit(0)
  server.close(() => process.exit(0))
  setTimeout(() => process.exit(0), graceMs)
})
control.listen(CONTROL_PORT, '127.0.0.1')
setTimeout(() => server.listen(setting('PORT', 8080), '::'), setting('START_MS', 0))
