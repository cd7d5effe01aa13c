// The Docker API of one manager over unix://, tcp:// (with or without client certificates) or agent:// (TLS-PSK). dockerode
// builds the requests, transport.ts performs them. Every call is bounded in time and bytes and returns a value; none throws.

import type { Agent, AgentOptions } from 'node:http'
import { Agent as SecureAgent } from 'node:https'
import { isIP } from 'node:net'
import type Dockerode from 'dockerode'
import type { z } from 'zod'
import { connectChannel } from '../../util/agent-channel.ts'
import { HttpAgent, loadDockerode } from '../../util/lean-imports.ts'
import { type CallErrorKind, CallFailure } from './call-failure.ts'
import type { ManagerTls } from './client-tls.ts'
import { type Endpoint, formatEndpoint } from './endpoint.ts'
import { type EventStreamListener, watchEvents } from './event-stream.ts'
import { createForeignAgentProbe } from './foreign-agent.ts'
import {
  type DockerInfo,
  type DockerNetwork,
  type DockerNode,
  type DockerService,
  type DockerTask,
  firstIssue,
  infoSchema,
  type ListResult,
  networkSchema,
  nodeSchema,
  parseList,
  serviceSchema,
  taskSchema,
} from './schemas.ts'
import { performCall } from './transport.ts'

export interface CallError {
  readonly kind: CallErrorKind
  readonly message: string
  /** The endpoint is not an agent of this cluster; the message describes what it is. */
  readonly foreign?: boolean
}

export type CallResult<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: CallError }

export interface DockerClientOptions {
  readonly endpoint: Endpoint
  /** For tcp:// endpoints found by DNS: the name in the certificate; null: the host of the endpoint. */
  readonly serverName: string | null
  /** The DNS name that resolved to the endpoint, for messages; null or absent: none. */
  readonly foundBy?: string | null
  readonly tls: ManagerTls | null
  /** For agent://: the channel's key (util/agent-channel.ts); null: agents cannot be reached. */
  readonly agentKey: Buffer | null
  readonly callTimeoutMs: number
  readonly answerBytes: number
}

export interface TaskFilters {
  readonly 'desired-state'?: readonly string[]
  readonly service?: readonly string[]
  readonly id?: readonly string[]
}

export interface DockerClient {
  readonly endpoint: string
  info(): Promise<CallResult<DockerInfo>>
  /** Calls /_ping, which is answered even while the swarm has no leader. */
  ping(stop: AbortSignal): Promise<CallResult<true>>
  /** `role`: only managers; the cheapest call that needs a working swarm, unlike /_ping. `stop` aborts the call. */
  nodes(role: 'manager' | null, stop?: AbortSignal): Promise<CallResult<ListResult<DockerNode>>>
  services(stop?: AbortSignal): Promise<CallResult<ListResult<DockerService>>>
  tasks(filters: TaskFilters, stop?: AbortSignal): Promise<CallResult<ListResult<DockerTask>>>
  networks(stop?: AbortSignal): Promise<CallResult<ListResult<DockerNetwork>>>
  /**
   * Streams the events of the swarm. `ended` is called once, later, also when the stream could not be opened. Returns a
   * function that closes the stream.
   */
  events(listener: EventStreamListener): () => void
  close(): void
}

export const MAX_ANSWER_BYTES = 64 * 1024 * 1024
/** Limit for lists that are short in any swarm: a bad manager is detected earlier. */
const SHORT_ANSWER_BYTES = 16 * 1024 * 1024
const SHORT = /^\/(?:info|nodes|networks)\b/
const NO_SECRET = 'agent:// needs the cluster secret, and none is configured'

const Docker = loadDockerode()

/** `docker.ping` with an abort signal, which its type does not declare. */
const ping = Docker.prototype.ping as (this: Dockerode, options: { readonly abortSignal: AbortSignal }) => Promise<unknown>

type BuildRequest = (
  options: Record<string, unknown>,
  context: { isStream?: boolean },
  data: unknown,
  callback: (error: Error | null, result: unknown) => void,
) => void

/** Creates a client; nothing is sent before the first call. */
export function createDockerClient(options: DockerClientOptions): DockerClient {
  const { endpoint } = options
  const secure = endpoint.scheme === 'tcp' && options.tls !== null
  const agent = connectionAgent(options)
  const limits = {
    callTimeoutMs: options.callTimeoutMs,
    connectTimeoutMs: Math.min(options.callTimeoutMs, 2000),
    answerBytes: options.answerBytes,
  }
  const describeForeign = endpoint.scheme === 'agent' ? createForeignAgentProbe(endpoint, options.foundBy ?? null) : null
  const docker = newDocker(endpoint, secure)
  const modem = docker.modem as unknown as { buildRequest: BuildRequest }
  modem.buildRequest = (request, context, _data, callback) => {
    const short = SHORT.test(pathOf(request))
    const own = short ? { ...limits, answerBytes: Math.min(limits.answerBytes, SHORT_ANSWER_BYTES) } : limits
    performCall({ options: request, stream: context.isStream === true }, secure, agent, own, (error, result) => {
      const where = error?.kind === 'bad-answer' ? `${pathOf(request)}: ` : ''
      const why = error?.kind === 'timeout' ? ' (--manager-timeout)' : ''
      const failure = error === null ? null : new CallFailure(error.kind, `${where}${error.message}${why}`)
      if (failure === null || error === null || describeForeign === null || error.handshake === null) callback(failure, result)
      else {
        void describeForeign(error.handshake).then(description => {
          failure.handshake = error.handshake
          failure.message = `${description}${why}`
          callback(failure, result)
        })
      }
    })
  }
  const closing = new AbortController()

  async function call<T>(ask: () => Promise<unknown>, read: (value: unknown) => T | string): Promise<CallResult<T>> {
    if (endpoint.scheme === 'agent' && options.agentKey === null) {
      return failed('denied', NO_SECRET)
    }
    try {
      const value = read(await ask())
      return typeof value === 'string' ? failed('bad-answer', value) : { ok: true, value }
    } catch (error) {
      if (error instanceof CallFailure) {
        const { kind, message, handshake } = error
        return { ok: false, error: handshake === null ? { kind, message } : { kind, message, foreign: true } }
      }
      return failed('bad-answer', error instanceof Error ? error.message : String(error))
    }
  }

  const list =
    <T>(schema: z.ZodType<T>, path: string) =>
    (value: unknown): ListResult<T> | string =>
      parseList(schema, value) ?? `${path}: expected a list of Docker's objects`
  const signalOf = (stop: AbortSignal | undefined): AbortSignal =>
    stop === undefined ? closing.signal : AbortSignal.any([closing.signal, stop])

  return {
    endpoint: formatEndpoint(endpoint),
    info: () =>
      call(
        () => docker.info(),
        value => {
          const parsed = infoSchema.safeParse(value)
          return parsed.success ? parsed.data : `/info: ${firstIssue(parsed.error)}`
        },
      ),
    ping: stop =>
      call(
        () => ping.call(docker, { abortSignal: signalOf(stop) }),
        () => true as const,
      ),
    nodes: (role, stop) =>
      call(
        () => docker.listNodes(withFilters(role === null ? {} : { role: [role] }, signalOf(stop))),
        list(nodeSchema, '/nodes'),
      ),
    services: stop => call(() => docker.listServices({ abortSignal: signalOf(stop) }), list(serviceSchema, '/services')),
    tasks: (filters, stop) => call(() => docker.listTasks(withFilters(filters, signalOf(stop))), list(taskSchema, '/tasks')),
    networks: stop =>
      call(() => docker.listNetworks(withFilters({ scope: ['swarm'] }, signalOf(stop))), list(networkSchema, '/networks')),
    events: listener => {
      if (endpoint.scheme !== 'agent' || options.agentKey !== null) return watchEvents(docker, closing.signal, listener)
      const timer = setImmediate(() => listener.ended(NO_SECRET))
      return () => clearImmediate(timer)
    },
    close: () => {
      closing.abort()
      agent.destroy()
    },
  }
}

function pathOf(request: Record<string, unknown>): string {
  return String(request.path).replace(/\?.*$/s, '')
}

function failed<T>(kind: CallErrorKind, message: string): CallResult<T> {
  return { ok: false, error: { kind, message } }
}

function withFilters(filters: object, abortSignal: AbortSignal) {
  return Object.keys(filters).length === 0 ? { abortSignal } : { filters: JSON.stringify(filters), abortSignal }
}

/**
 * dockerode reads DOCKER_HOST and related variables for every missing option. The managers of Skein come from its own options
 * only.
 */
function newDocker(endpoint: Endpoint, secure: boolean): Dockerode {
  const saved = process.env.DOCKER_HOST
  delete process.env.DOCKER_HOST
  try {
    if (endpoint.scheme === 'unix') return new Docker({ socketPath: endpoint.path })
    const protocol = secure ? 'https' : 'http'
    const host = endpoint.host.includes(':') ? `[${endpoint.host}]` : endpoint.host
    return new Docker({ host: `${protocol}://${host}`, port: endpoint.port, protocol })
  } finally {
    if (saved !== undefined) process.env.DOCKER_HOST = saved
  }
}

function connectionAgent(options: DockerClientOptions): Agent {
  const { endpoint, tls, agentKey } = options
  const pool: AgentOptions = { keepAlive: true, keepAliveMsecs: 15_000, maxSockets: 8, maxFreeSockets: 4, scheduling: 'lifo' }
  if (endpoint.scheme === 'tcp' && tls !== null) {
    const name = options.serverName ?? endpoint.host
    // SNI allows names only; for an address the certificate is checked against the address itself.
    return new SecureAgent({ ...pool, ca: tls.ca, ...tls.client, ...(isIP(name) === 0 ? { servername: name } : {}) })
  }
  if (endpoint.scheme === 'agent' && agentKey !== null) {
    return new ChannelAgent(pool, agentKey, endpoint)
  }
  return new HttpAgent(pool)
}

/** A node:http agent whose connections are encrypted channels to a Skein agent. */
class ChannelAgent extends HttpAgent {
  readonly #key: Buffer
  readonly #to: { readonly host: string; readonly port: number }
  constructor(pool: AgentOptions, key: Buffer, to: { readonly host: string; readonly port: number }) {
    super(pool)
    this.#key = key
    this.#to = { host: to.host, port: to.port }
  }
  override createConnection(): ReturnType<typeof connectChannel> {
    const socket = connectChannel(this.#key, this.#to)
    socket.setKeepAlive(true, 15_000)
    return socket
  }
}
