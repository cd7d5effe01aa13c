// A client for sessions: sends requests to the application through a replica, and reads which server answered.

import { Agent, request } from 'node:http'
import type { BenchReplica } from './cluster-replicas.ts'
import { SESSION_COOKIE } from './state-world.ts'

export interface SessionAnswer {
  /** The status; 0: no answer. */
  readonly status: number
  /** The address of the server that answered; '' if the answer does not contain it. */
  readonly server: string
  readonly setCookies: readonly string[]
}

const TIMEOUT_MS = 3000

export class SessionClient {
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 256 })
  private readonly host: string

  constructor(host: string) {
    this.host = host
  }

  /** Lets the application create a session with this id. */
  make(through: BenchReplica, id: string): Promise<SessionAnswer> {
    return this.ask(through, `/new?sid=${id}`, {})
  }

  /** Sends a request of this session. */
  use(through: BenchReplica, id: string): Promise<SessionAnswer> {
    return this.ask(through, '/who', { cookie: `${SESSION_COOKIE}=${id}` })
  }

  ask(through: BenchReplica, path: string, more: Readonly<Record<string, string>> = {}): Promise<SessionAnswer> {
    const { agent } = this
    const headers = { host: this.host, ...more }
    return new Promise(resolve => {
      const nothing = (): void => resolve({ status: 0, server: '', setCookies: [] })
      const target = { host: through.place.reach, port: through.web, path, headers, agent, timeout: TIMEOUT_MS }
      const outgoing = request(target, response => {
        response.resume()
        response.on('error', nothing)
        response.on('end', () => {
          const { 'x-server': server = '', 'set-cookie': setCookies = [] } = response.headers
          resolve({ status: response.statusCode ?? 0, server: String(server), setCookies })
        })
      })
      outgoing.on('timeout', () => outgoing.destroy(new Error('no answer')))
      outgoing.on('error', nothing)
      outgoing.end()
    })
  }

  close(): void {
    this.agent.destroy()
  }
}
