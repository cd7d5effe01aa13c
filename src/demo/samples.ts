// The demo's sample services, with labels as users write them: whoami, a service with a sticky cookie, one with learned sessions,
// one with a circuit breaker, a slow and flaky one, a chat over WebSocket, and the page that shows the edge and backend of each
// click. Each task is a small HTTP server on its own address, and exits immediately on SIGTERM, as many applications do.

import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { ServiceRequest } from '../emulator/service-spec.ts'
import type { RunnableTask, TaskRunner } from '../emulator/task-runner.ts'
import { clickPage, framePage, type PageEdge, pagePolicy } from './click-page.ts'
import { acceptWebSocket, type WebSocketPeer } from './websocket.ts'

export const samplePort = 8000
export const sampleNetwork = 'web'

/** The host of the page, and of the services that it calls below it. */
const pageHosts = 'Host:localhost,127.0.0.1'
const shared = { networks: [sampleNetwork], update: { parallelism: 1, monitorMs: 1_000 } }

export const sampleServices: readonly ServiceRequest[] = [
  { ...shared, name: 'whoami', replicas: 3, labels: { 'traefik.port': `${samplePort}` } },
  {
    ...shared,
    name: 'sticky',
    replicas: 3,
    labels: {
      'traefik.port': `${samplePort}`,
      'traefik.backend.loadbalancer.stickiness': 'true',
      'traefik.backend.loadbalancer.stickiness.cookieName': 'goose',
      // Two routers for one backend: by its own host, and below the page's.
      'traefik.backend': 'sticky',
      'traefik.own.frontend.rule': 'Host:sticky.localhost',
      'traefik.page.frontend.rule': `${pageHosts};PathPrefix:/sticky`,
    },
  },
  {
    ...shared,
    name: 'shop',
    replicas: 3,
    labels: {
      'traefik.port': `${samplePort}`,
      'traefik.frontend.rule': `Host:shop.localhost,${pageHosts.slice('Host:'.length)};PathPrefix:/shop`,
      'skein.sticky.learn': 'cookie:JSESSIONID',
    },
  },
  {
    ...shared,
    name: 'fragile',
    replicas: 3,
    labels: {
      'traefik.port': `${samplePort}`,
      'traefik.frontend.rule': `Host:fragile.localhost,${pageHosts.slice('Host:'.length)};PathPrefix:/fragile`,
      'traefik.backend.circuitbreaker.expression': 'ResponseCodeRatio(500, 600, 0, 600) > 0.5',
      'skein.breaker.minRequests': '10',
      'skein.breaker.open': '5s',
      'skein.breaker.recovery': '5s',
    },
  },
  { ...shared, name: 'page', replicas: 3, labels: { 'traefik.port': `${samplePort}`, 'traefik.frontend.rule': pageHosts } },
  {
    ...shared,
    name: 'slow',
    replicas: 3,
    labels: {
      'traefik.port': `${samplePort}`,
      'traefik.frontend.rule': 'Host:slow.localhost',
      'traefik.backend.loadbalancer.method': 'drr',
    },
  },
  {
    ...shared,
    name: 'chat',
    replicas: 2,
    labels: { 'traefik.port': `${samplePort}`, 'traefik.frontend.rule': 'Host:chat.localhost' },
  },
]

/** Runs tasks as HTTP servers in this process. */
export class SampleRunner implements TaskRunner {
  readonly #servers = new Map<string, { server: Server; sockets: Set<Socket> }>()
  /** All connections in the chat, of all tasks. */
  readonly #chat = new Set<WebSocketPeer>()
  readonly #page: string
  /** Whether the backends of `fragile` answer 500. */
  #broken = false

  /** `edges`: the edges for which the page has buttons. */
  constructor(edges: readonly PageEdge[]) {
    this.#page = clickPage(edges)
  }

  start(task: RunnableTask): Promise<void> {
    const sockets = new Set<Socket>()
    const server = createServer(this.#handlerOf(task))
    server.keepAliveTimeout = 120_000
    server.on('connection', socket => {
      sockets.add(socket)
      socket.on('close', () => sockets.delete(socket))
    })
    if (task.service === 'chat')
      server.on('upgrade', (request, socket, head) => this.#join(task, request, socket as Socket, head))
    this.#servers.set(task.id, { server, sockets })
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(samplePort, task.addresses[0], resolve)
    })
  }

  async terminate(task: RunnableTask): Promise<void> {
    this.kill(task)
  }

  kill(task: RunnableTask): void {
    const running = this.#servers.get(task.id)
    if (running === undefined) return
    this.#servers.delete(task.id)
    running.server.close()
    for (const socket of running.sockets) socket.resetAndDestroy()
  }

  #handlerOf(task: RunnableTask): (request: IncomingMessage, response: ServerResponse) => void {
    if (task.service === 'slow') return slowAndFlaky(task)
    if (task.service === 'chat') return (_, response) => sendPage(response, chatPage)
    if (task.service === 'shop') return (request, response) => withSession(task, request, response)
    if (task.service === 'fragile') return (request, response) => answer(task, request, response, this.#broken ? 500 : 200)
    if (task.service === 'page') return (request, response) => this.#showPage(task, request, response)
    return (request, response) => answer(task, request, response)
  }

  #showPage(task: RunnableTask, request: IncomingMessage, response: ServerResponse): void {
    const path = request.url?.split('?', 1)[0]
    if (path === '/') sendPage(response, this.#page, pagePolicy)
    else if (path === '/frame') sendPage(response, framePage, pagePolicy)
    else if (path === '/harm') this.#fragileState(request, response)
    else if (path === '/turns') answer(task, request, response)
    else response.writeHead(404, { 'Content-Type': 'text/plain' }).end('not a page of the demo\n')
  }

  /** POST sets the state to `broken` or `well`; the required header prevents requests from pages of other origins. */
  #fragileState(request: IncomingMessage, response: ServerResponse): void {
    let text = ''
    request.setEncoding('utf8').on('data', (chunk: string) => {
      text = (text + chunk).slice(0, 16)
    })
    request.on('end', () => {
      if (request.method === 'POST' && request.headers['x-demo'] !== undefined) this.#broken = text === 'broken'
      response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify({ broken: this.#broken }))
    })
  }

  #join(task: RunnableTask, request: IncomingMessage, socket: Socket, head: Buffer): void {
    acceptWebSocket(request, socket, head, peer => {
      this.#chat.add(peer)
      peer.send(`welcome: you are on ${task.name} at ${task.node}, with ${this.#chat.size - 1} others`)
      return {
        message: text => {
          for (const other of this.#chat) other.send(`${other === peer ? 'you' : 'someone'}: ${text}`)
        },
        closed: () => this.#chat.delete(peer),
      }
    })
  }
}

/** Answers with the task, the edge and the received request: as JSON for the page, as text for people. */
function answer(task: RunnableTask, request: IncomingMessage, response: ServerResponse, status = 200): void {
  request.resume()
  const edge = String(request.headers['x-forwarded-server'] ?? '')
  const json = request.headers.accept === 'application/json'
  const body = json ? JSON.stringify({ task: task.name, node: task.node, edge }) : asText(task, request)
  const type = json ? 'application/json' : 'text/plain'
  response.writeHead(status, { 'Content-Type': type, 'X-Task': task.name, 'Content-Length': Buffer.byteLength(body) })
  response.end(body)
}

function asText(task: RunnableTask, request: IncomingMessage): string {
  const seen = Object.entries(request.headers).map(([name, value]) => `${name}: ${String(value)}`)
  const lines = [`task: ${task.name} (${task.id.slice(0, 12)})`, `version: ${task.generation + 1}`, `node: ${task.node}`]
  return `${[...lines, `address: ${task.addresses[0] ?? ''}`, `${request.method} ${request.url}`, ...seen].join('\n')}\n`
}

/** Sets a session cookie, as applications do. It has no HttpOnly, which a real one should have, because the page's button removes it. */
function withSession(task: RunnableTask, request: IncomingMessage, response: ServerResponse): void {
  if (!/(?:^|;)\s*JSESSIONID=/.test(request.headers.cookie ?? ''))
    response.setHeader('Set-Cookie', `JSESSIONID=${randomUUID()}; Path=/; SameSite=Lax`)
  answer(task, request, response)
}

function sendPage(response: ServerResponse, html: string, policy?: string): void {
  const headers = {
    'Content-Type': 'text/html; charset=utf-8',
    'Content-Length': Buffer.byteLength(html),
    'Cache-Control': 'no-cache',
  }
  response.writeHead(200, policy === undefined ? headers : { ...headers, 'Content-Security-Policy': policy }).end(html)
}

/** Answers after up to a second, and resets every fifth request without an answer. */
function slowAndFlaky(task: RunnableTask): (request: IncomingMessage, response: ServerResponse) => void {
  let count = 0
  return (request, response) => {
    count++
    if (count % 5 === 0) {
      request.socket.resetAndDestroy()
      return
    }
    setTimeout(() => answer(task, request, response), 200 + ((count * 277) % 800))
  }
}

const chatPage = `<!doctype html><meta charset="utf-8"><title>Skein demo: chat</title>
<h1>Chat</h1><p>Open this page through the other replicas too (see the terminal for their ports): all see all messages.
The page reconnects when its task is replaced.</p>
<form><input autofocus size="60"></form><pre></pre>
<script>
const out = document.querySelector('pre'), input = document.querySelector('input')
let socket
const connect = () => {
  socket = new WebSocket('ws://' + location.host + '/')
  socket.onmessage = message => { out.textContent = message.data + '\\n' + out.textContent }
  socket.onclose = () => setTimeout(connect, 500)
}
document.querySelector('form').onsubmit = event => { event.preventDefault(); socket.send(input.value); input.value = '' }
connect()
</script>
`
