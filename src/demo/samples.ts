// The demo's sample services, with Traefik v1 labels as users write them: whoami, a sticky one, a slow and flaky one, and a
// chat over WebSocket. Each of their tasks is a small HTTP server on an address of its own, and dies at once on SIGTERM, as
// badly behaved applications do.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { ServiceRequest } from './emulator/service-spec.ts'
import type { RunnableTask, TaskRunner } from './emulator/task-runner.ts'
import { acceptWebSocket, type WebSocketPeer } from './websocket.ts'

export const samplePort = 8000
export const sampleNetwork = 'web'

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
    },
  },
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
  /** Everybody in the chat, whatever task they are connected to. */
  readonly #chat = new Set<WebSocketPeer>()

  start(task: RunnableTask): Promise<void> {
    const sockets = new Set<Socket>()
    const server = createServer(handlerOf(task))
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

function handlerOf(task: RunnableTask): (request: IncomingMessage, response: ServerResponse) => void {
  if (task.service === 'slow') return slowAndFlaky(task)
  if (task.service === 'chat') return (_, response) => void response.writeHead(200, { 'Content-Type': 'text/html' }).end(chatPage)
  return (request, response) => answer(task, request, response)
}

/** Who answered, and what it saw. */
function answer(task: RunnableTask, request: IncomingMessage, response: ServerResponse): void {
  request.resume()
  const seen = Object.entries(request.headers).map(([name, value]) => `${name}: ${String(value)}`)
  const lines = [`task: ${task.name} (${task.id.slice(0, 12)})`, `version: ${task.generation + 1}`, `node: ${task.node}`]
  const body = `${[...lines, `address: ${task.addresses[0] ?? ''}`, `${request.method} ${request.url}`, ...seen].join('\n')}\n`
  response.writeHead(200, { 'Content-Type': 'text/plain', 'X-Task': task.name, 'Content-Length': Buffer.byteLength(body) })
  response.end(body)
}

/** Takes up to a second, and breaks every fifth request without an answer. */
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
<h1>Chat</h1><p>Open this page through the other replicas too (see the terminal for their ports): everybody hears everybody.
The line comes back by itself when its task is replaced.</p>
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
