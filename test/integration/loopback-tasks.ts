// Tasks of a service on addresses of their own (127.61.x.y) and one port, as in a swarm; each answers with its address. For
// tests of stickiness and breakers through running replicas.

import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type TaskAnswer = (address: string, asked: IncomingMessage, response: ServerResponse) => void

const groups = new Set<LoopbackTasks>()
let nth = 0

export function stopTasks(): void {
  for (const group of groups) group.stop()
}

export class LoopbackTasks {
  readonly addresses: readonly string[]
  readonly port: number
  /** Requests so far. */
  seen = 0
  answer: TaskAnswer
  private readonly servers: readonly Server[]

  private constructor(servers: readonly Server[], addresses: readonly string[], port: number, answer: TaskAnswer) {
    this.servers = servers
    this.addresses = addresses
    this.port = port
    this.answer = answer
    for (const [i, server] of servers.entries())
      server.on('request', (asked: IncomingMessage, response: ServerResponse) => {
        this.seen++
        asked.resume()
        this.answer(addresses[i] as string, asked, response)
      })
  }

  /** The answer; default: the address of the task. */
  static async start(
    count: number,
    answer: TaskAnswer = (address, _, response) => void response.end(address),
  ): Promise<LoopbackTasks> {
    const addresses = Array.from({ length: count }, (_, i) => `127.61.${nth}.${i + 1}`)
    nth++
    const servers = addresses.map(() => createServer({ maxHeaderSize: 256 * 1024, keepAliveTimeout: 60_000 }))
    let port = 0
    for (const [i, server] of servers.entries()) {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject)
        server.listen(port, addresses[i], resolve)
      })
      port = (server.address() as AddressInfo).port
    }
    const group = new LoopbackTasks(servers, addresses, port, answer)
    groups.add(group)
    return group
  }

  /** For a ScriptedManager. */
  get tasks(): { readonly address: string }[] {
    return this.addresses.map(address => ({ address }))
  }

  stop(): void {
    groups.delete(this)
    for (const server of this.servers) {
      server.close()
      server.closeAllConnections()
    }
  }
}

export interface Answer {
  readonly status: number
  readonly body: string
  readonly cookies: readonly string[]
  readonly retryAfter: string | undefined
}

/** One request on a new connection; status 0 if it was refused or broken. */
export function ask(
  port: number,
  host: string,
  headers: Readonly<Record<string, string | string[]>> = {},
  path = '/',
): Promise<Answer> {
  return new Promise(resolve => {
    const failed = (): void => resolve({ status: 0, body: '', cookies: [], retryAfter: undefined })
    const options = { host: '127.0.0.1', port, path, headers: { host, ...headers }, agent: false, timeout: 10_000 }
    const asked = request({ ...options, maxHeaderSize: 256 * 1024 }, response => {
      let body = ''
      response.setEncoding('utf8').on('data', (chunk: string) => {
        body += chunk
      })
      response.on('error', failed)
      response.on('end', () => {
        const cookies = (response.headers['set-cookie'] ?? []).map(line => line.split(';', 1)[0] as string)
        resolve({ status: response.statusCode ?? 0, body, cookies, retryAfter: response.headers['retry-after'] })
      })
    })
    asked.on('timeout', () => asked.destroy())
    asked.on('error', failed)
    asked.end()
  })
}
