// The interface of a swarm under test: the Docker APIs of its nodes and nothing else, so that the cases treat an emulated and a real
// swarm alike. Killing a manager is not possible through the API and is optional.

import { request as httpRequest } from 'node:http'

export interface SwarmTarget {
  /** `unix:///path` or `tcp://host:port` of all managers and all workers. */
  readonly managers: readonly string[]
  readonly workers: readonly string[]
  /** The speed of the swarm's clock relative to real time: 1 for a real swarm. */
  readonly speed: number
  /** An image that every node has, whose `command` runs until SIGTERM and then exits immediately. */
  readonly image: string
  readonly command: readonly string[]
  /** Kills a manager's daemon and revives it; absent if that is not allowed. */
  readonly harm?: { kill(endpoint: string): Promise<void>; revive(endpoint: string): Promise<void> }
}

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: unknown
}

function addressOf(endpoint: string): { socketPath: string } | { host: string; port: number } {
  const url = new URL(endpoint)
  return url.protocol === 'unix:' ? { socketPath: url.pathname } : { host: url.hostname, port: Number(url.port) }
}

/** One call. Rejects if the connection fails or nothing arrives for `timeoutMs`. */
export function call(endpoint: string, method: string, path: string, body?: unknown, timeoutMs = 30_000): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      { ...addressOf(endpoint), method, path, agent: false, headers: { 'Content-Type': 'application/json' } },
      response => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', chunk => {
          text += chunk
        })
        response.on('error', reject)
        response.on('end', () => {
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: parse(text) })
        })
      },
    )
    request.setTimeout(timeoutMs, () => request.destroy(new Error(`no answer from ${endpoint}${path} for ${timeoutMs} ms`)))
    request.on('error', reject)
    request.end(body === undefined ? undefined : JSON.stringify(body))
  })
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

export function withFilters(path: string, filters: Readonly<Record<string, readonly string[]>>): string {
  return `${path}?filters=${encodeURIComponent(JSON.stringify(filters))}`
}

export interface EventSeen {
  readonly endpoint: string
  readonly atMs: number
  readonly type: string
  readonly action: string
  readonly scope: string
  readonly id: string
  readonly attributes: Readonly<Record<string, string>>
}

/** Reads the event streams of several nodes. */
export class EventLog {
  readonly seen: EventSeen[] = []
  readonly #stops: (() => void)[] = []

  /** Resolves when all streams are open. */
  static async open(endpoints: readonly string[], query = ''): Promise<EventLog> {
    const log = new EventLog()
    await Promise.all(endpoints.map(endpoint => log.#follow(endpoint, query)))
    return log
  }

  close(): void {
    for (const stop of this.#stops) stop()
  }

  #follow(endpoint: string, query: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const request = httpRequest({ ...addressOf(endpoint), path: `/events${query}`, agent: false }, response => {
        let rest = ''
        response.setEncoding('utf8')
        response.on('error', () => {})
        response.on('data', (chunk: string) => {
          const lines = (rest + chunk).split('\n')
          rest = lines.pop() ?? ''
          for (const line of lines) if (line !== '') this.#add(endpoint, line)
        })
        resolve()
      })
      request.on('error', reject)
      request.end()
      this.#stops.push(() => {
        request.on('error', () => {})
        request.destroy()
      })
    })
  }

  #add(endpoint: string, line: string): void {
    const event = JSON.parse(line)
    this.seen.push({
      endpoint,
      atMs: performance.now(),
      type: event.Type,
      action: event.Action,
      scope: event.scope,
      id: event.Actor.ID,
      attributes: event.Actor.Attributes,
    })
  }
}
