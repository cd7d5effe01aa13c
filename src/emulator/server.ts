// The HTTP server of one emulated node: the reads of the Docker Engine API and the few writes that people use, with and without the
// /v1.NN prefix. Calls about the swarm wait while there is no leader; a worker refuses them. A stopped server resets every
// connection.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { NodeObject } from './docker-objects.ts'
import { eventMatches, isApiError, parseFilters } from './filters.ts'
import { answerLocal, answerSwarm } from './routes.ts'
import type { SwarmAccess } from './swarm-access.ts'

const bodyLimitBytes = 1_048_576
const commonHeaders = {
  'Api-Version': '1.41',
  'Docker-Experimental': 'false',
  Ostype: 'linux',
  Server: 'Docker/20.10.24 (linux)',
}
const notManager =
  "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. " +
  'Please run this command on a manager node or promote the current node to a manager.'

export class ApiServer {
  readonly #name: string
  readonly #swarm: SwarmAccess
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #calls = new Map<string, number>()
  #address: { host: string; port: number } | null = null

  constructor(name: string, swarm: SwarmAccess) {
    this.#name = name
    this.#swarm = swarm
    this.#server = createServer((request, response) => {
      void this.#handle(request, response).catch(error => sendJson(response, 500, { message: String(error) }))
    })
    this.#server.on('connection', socket => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    })
  }

  /** Starts to listen; resolves with the port. */
  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(port, host, () => {
        this.#server.off('error', reject)
        const address = this.#server.address() as AddressInfo
        this.#address = { host, port: address.port }
        resolve(address.port)
      })
    })
  }

  /** Acts like a killed daemon: connections are reset, new ones are refused. */
  stop(): Promise<void> {
    return new Promise(resolve => {
      this.#server.close(() => resolve())
      for (const socket of this.#sockets) socket.resetAndDestroy()
    })
  }

  /** Listens again on the previous address. */
  async restart(): Promise<void> {
    if (this.#address !== null && !this.#server.listening) await this.listen(this.#address.host, this.#address.port)
  }

  /** The number of requests so far, by path without its version. */
  calls(): ReadonlyMap<string, number> {
    return new Map(this.#calls)
  }

  close(): Promise<void> {
    return this.#server.listening ? this.stop() : Promise.resolve()
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { raft } = this.#swarm
    const called = (request.url ?? '').replace(/^\/v\d+\.\d+(?=\/)/, '').replace(/\?.*$/s, '')
    this.#calls.set(called, (this.#calls.get(called) ?? 0) + 1)
    const node = [...this.#swarm.store.nodes.values()].find(one => one.Description.Hostname === this.#name)
    if (node === undefined) return
    if (raft.state(this.#name) === 'hung' && node.Spec.Role === 'manager') return
    const url = new URL(request.url ?? '/', 'http://localhost')
    const version = /^\/v(\d+)\.(\d+)(?=\/)/.exec(url.pathname)
    const path = version === null ? url.pathname : url.pathname.slice(version[0].length)
    if (version !== null && (Number(version[1]) !== 1 || Number(version[2]) > 41)) {
      const message = `client version ${version[0].slice(2)} is too new. Maximum supported API version is 1.41`
      return sendJson(response, 400, { message })
    }
    if (path === '/_ping') return sendText(response, request.method === 'HEAD' ? '' : 'OK')
    if (path === '/events') return this.#streamEvents(url, node, response)
    const body = await readBody(request)
    if (body === undefined) return sendJson(response, 400, { message: 'the body is not JSON, or over 1 MiB' })
    const local = answerLocal(path, node, this.#swarm)
    if (local !== null) return sendJson(response, local.status, local.body)
    if (node.Spec.Role !== 'manager') {
      if (path === '/info' || path === '/networks') return this.#answer(request, path, url, body, node, response)
      return sendJson(response, 503, { message: notManager })
    }
    await this.#untilAnswers(request)
    if (request.socket.destroyed) return
    // If there is no leader until the call's time limit, the engine still answers with data of its own node.
    const isLocal = path === '/info' || path === '/networks'
    if (!raft.answers(this.#name) && !isLocal) {
      return sendJson(response, 500, { message: 'rpc error: code = DeadlineExceeded desc = context deadline exceeded' })
    }
    this.#answer(request, path, url, body, node, response)
  }

  #answer(request: IncomingMessage, path: string, url: URL, body: unknown, node: NodeObject, response: ServerResponse): void {
    const reply = answerSwarm(request.method ?? 'GET', path, url.searchParams, body, node, this.#swarm)
    sendJson(response, reply.status, reply.body)
  }

  /** Waits for a leader, for at most the engine's time limit of a call. */
  async #untilAnswers(request: IncomingMessage): Promise<void> {
    const { raft, timers, timing } = this.#swarm
    if (raft.answers(this.#name)) return
    await new Promise<void>(resolve => {
      const done = (): void => {
        stop()
        cancel()
        request.socket.off('close', done)
        resolve()
      }
      const stop = raft.onChange(() => raft.answers(this.#name) && done())
      const cancel = timers.after(timing.callMs, done)
      request.socket.once('close', done)
    })
  }

  #streamEvents(url: URL, node: NodeObject, response: ServerResponse): void {
    const filters = parseFilters(url.searchParams.get('filters'), null)
    if (isApiError(filters)) {
      sendJson(response, filters.status, { message: filters.message })
      return
    }
    const isWorker = node.Spec.Role === 'worker'
    const delivers = (at: string | null): boolean => {
      if (isWorker || at !== null) return at === node.ID
      if (this.#swarm.suppressesEvents()) return false
      return ['up', 'catching-up'].includes(this.#swarm.raft.state(this.#name))
    }
    response.writeHead(200, { ...commonHeaders, 'Content-Type': 'application/json' })
    response.flushHeaders()
    const since = Number(url.searchParams.get('since') ?? Number.NaN)
    const until = Number(url.searchParams.get('until') ?? Number.NaN)
    const { store, timers } = this.#swarm
    if (!Number.isNaN(since)) {
      for (const { nodeId, event } of store.history())
        if (delivers(nodeId) && event.timeNano / 1e9 >= since && eventMatches(filters, event)) write(event)
    }
    function write(event: unknown): void {
      response.write(`${JSON.stringify(event)}\n`)
    }
    if (!Number.isNaN(until) && until * 1000 <= timers.now()) {
      response.end()
      return
    }
    const stop = store.onEvent(({ nodeId, event }) => {
      if (delivers(nodeId) && eventMatches(filters, event)) write(event)
    })
    const cancel = Number.isNaN(until) ? () => {} : timers.after(until * 1000 - timers.now(), () => response.end())
    response.on('close', () => {
      stop()
      cancel()
    })
  }
}

/** The body as JSON; null if it is empty, undefined if it is not JSON or too long. */
async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > bodyLimitBytes) return undefined
    chunks.push(chunk)
  }
  if (length === 0) return null
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'))
  } catch {
    return undefined
  }
}

function sendText(response: ServerResponse, body: string): void {
  response.writeHead(200, {
    ...commonHeaders,
    'Content-Type': 'text/plain; charset=utf-8',
    'Cache-Control': 'no-cache, no-store, must-revalidate',
  })
  response.end(body)
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  if (response.headersSent) return
  response.writeHead(status, { ...commonHeaders, 'Content-Type': 'application/json' })
  response.end(body === null ? '' : `${JSON.stringify(body)}\n`)
}
