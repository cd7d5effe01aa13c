// The agent's connection to Docker: bounded GETs, shared by replicas that send the same request at the same time, and event streams.

import type { IncomingMessage } from 'node:http'
import type { CallFailure } from '../providers/docker-api/call-failure.ts'
import type { Endpoint } from '../providers/docker-api/endpoint.ts'
import { lineSplitter } from '../providers/docker-api/lines.ts'
import { type DockerEvent, EVENT_FILTERS, parseEvent } from '../providers/docker-api/schemas.ts'
import { performCall } from '../providers/docker-api/transport.ts'
import { HttpAgent } from '../util/lean-imports.ts'

export type UpstreamResult =
  | { readonly ok: true; readonly value: unknown }
  /** Status and message for the replica, which classifies them like Docker's own (call-failure.ts, classifyStatus). */
  | { readonly ok: false; readonly status: number; readonly message: string }

export interface Upstream {
  get(path: string): Promise<UpstreamResult>
  /** Returns a function that ends the stream; `ended` is called once if the stream ends by itself. */
  events(opened: () => void, event: (event: DockerEvent) => void, ended: (reason: string) => void): () => void
  close(): void
}

const CALL_MS = 8_000
const CONNECT_MS = 2_000
const MAX_ANSWER_BYTES = 64 * 1024 * 1024
const MAX_CALLS = 64
const EVENT_LINE_BYTES = 256 * 1024

/** Connects with the first call. */
export function createUpstream(docker: Endpoint): Upstream {
  const agent = new HttpAgent({ keepAlive: true, maxSockets: 16, maxFreeSockets: 4 })
  const to = docker.scheme === 'unix' ? { socketPath: docker.path } : { host: docker.host, port: docker.port }
  const limits = { callTimeoutMs: CALL_MS, connectTimeoutMs: CONNECT_MS, answerBytes: MAX_ANSWER_BYTES }
  const slots = new Map<string, { running: Promise<UpstreamResult>; next: Promise<UpstreamResult> | null }>()
  const closing = new AbortController()
  closing.signal.addEventListener('abort', () => agent.destroy())

  function request(path: string): Promise<UpstreamResult> {
    return new Promise(resolve => {
      const options = { ...to, path, headers: { host: 'docker' } }
      performCall({ options, stream: false }, false, agent, limits, (error, value) => {
        resolve(error === null ? { ok: true, value } : { ok: false, ...statusOf(error) })
      })
    })
  }

  function begin(path: string): Promise<UpstreamResult> {
    const slot = { running: request(path), next: null }
    slots.set(path, slot)
    void slot.running.then(() => {
      if (slots.get(path) === slot && slot.next === null) slots.delete(path)
    })
    return slot.running
  }

  return {
    get(path) {
      const slot = slots.get(path)
      if (slot === undefined) {
        if (slots.size >= MAX_CALLS) return Promise.resolve({ ok: false, status: 503, message: 'the agent is busy' })
        return begin(path)
      }
      // A read in progress may have begun before the change that the caller expects, so all callers share the next one.
      slot.next ??= slot.running.then(() => begin(path))
      return slot.next
    },
    events(opened, event, ended) {
      const abort = new AbortController()
      let over = false
      const end = (reason: string): void => {
        if (over) return
        over = true
        closing.signal.removeEventListener('abort', stop)
        abort.abort()
        ended(reason)
      }
      const stop = (): void => {
        over = true
        closing.signal.removeEventListener('abort', stop)
        abort.abort()
      }
      closing.signal.addEventListener('abort', stop)
      const options = {
        ...to,
        path: `/events?${new URLSearchParams({ filters: EVENT_FILTERS })}`,
        headers: { host: 'docker' },
        signal: abort.signal,
      }
      // A stream has its own connection: it must not take an idle one of the pool, nor return to the pool.
      const own = new HttpAgent({ keepAlive: false })
      performCall({ options, stream: true }, false, own, limits, (error, value) => {
        if (error !== null) return end(error.message)
        const stream = value as IncomingMessage
        stream.on('error', failure => end(failure.message))
        stream.on('close', () => end('the stream was closed'))
        if (over) return void stream.destroy()
        opened()
        const feed = lineSplitter(EVENT_LINE_BYTES, line => {
          const parsed = parseEvent(line)
          if (parsed !== null && !over) event(parsed)
        })
        stream.on('data', feed)
      })
      return stop
    },
    close: () => closing.abort(),
  }
}

function statusOf(error: CallFailure): { status: number; message: string } {
  if (error.kind === 'timeout') return { status: 504, message: `deadline exceeded: Docker gave ${error.message}` }
  if (error.kind === 'no-leader') return { status: 503, message: `rpc error: ${error.message}` }
  if (error.kind === 'gone') return { status: 404, message: error.message }
  if (error.kind === 'not-manager') return { status: 503, message: error.message }
  return { status: 502, message: `Docker on the agent's node: ${error.message}` }
}
