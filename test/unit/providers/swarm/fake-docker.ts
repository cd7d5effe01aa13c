// A manager on 127.0.0.1 that answers whatever a test wants.

import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import { createServer as createSecureServer, type ServerOptions } from 'node:https'
import type { AddressInfo } from 'node:net'

export interface FakeDocker {
  readonly port: number
  readonly endpoint: string
  /** Requested paths, without the query. */
  readonly asked: string[]
  close(): Promise<void>
}

export type Answers = Readonly<Record<string, unknown>>

/** Answers the given paths with JSON or by a function, all others with 404. */
export async function fakeDocker(answers: Answers, tls: ServerOptions | null = null): Promise<FakeDocker> {
  const asked: string[] = []
  const listener: RequestListener = (request, response) => {
    const path = (request.url ?? '').split('?')[0] ?? ''
    asked.push(path)
    const answer = answers[path] ?? answers['*']
    if (typeof answer === 'function') (answer as (request: IncomingMessage, response: ServerResponse) => void)(request, response)
    else sendJson(response, answer === undefined ? 404 : 200, answer ?? { message: 'page not found' })
  }
  const server: Server = tls === null ? createServer(listener) : createSecureServer(tls, listener)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    port,
    endpoint: `tcp://127.0.0.1:${port}`,
    asked,
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

export function sendJson(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(value))
}
