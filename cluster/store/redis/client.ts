// One connection to one Redis server or Sentinel. ioredis implements the protocol; its reconnecting, queueing and retrying are
// off, because the owner of the connection (store.ts) decides about them. Every response has a time limit.

import { Redis } from 'ioredis'
import { NoResponse } from './failure-reason.ts'
import { formatHostPort, type HostPort, type RedisStoreOptions } from './options.ts'
import type { Script } from './scripts.ts'

/** Time limit of connecting, TLS included, ms. */
export const CONNECT_MS = 1_000
/** Time limit of a command's response, ms. Only the watch loop waits for it, so it is long enough for a busy machine. */
export const ANSWER_MS = 1_000

export interface Login {
  readonly username: string
  readonly password: string
}

export interface Client {
  /** `host:port`. */
  readonly at: string
  /** Rejects when there is no response within ANSWER_MS. */
  call(command: string, ...args: (string | number)[]): Promise<unknown>
  run(script: Script, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown>
  subscribe(channel: string, onMessage: (body: Buffer) => void): Promise<void>
  /** Closes at once; commands without a response are rejected. */
  close(): void
}

/**
 * Rejects with the reason when no connection can be made.
 * @param onEnd called once when the connection ends, for whatever reason
 */
export async function openClient(
  address: HostPort,
  login: Login,
  tls: RedisStoreOptions['tls'],
  onEnd: (error: Error) => void,
): Promise<Client> {
  const at = formatHostPort(address)
  const redis = new Redis({
    host: address.host,
    port: address.port,
    protocol: 2,
    lazyConnect: true,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    enableReadyCheck: false,
    autoResubscribe: false,
    autoResendUnfulfilledCommands: false,
    disableClientInfo: true,
    connectTimeout: CONNECT_MS,
    disconnectTimeout: 100,
    ...(tls === null ? {} : { tls: tls.ca === null ? {} : { ca: tls.ca } }),
  })
  let cause = new Error('Connection is closed.')
  redis.on('error', (error: Error) => {
    cause = error
  })
  const close = (): void => redis.disconnect()
  const call = (command: string, ...args: (string | number)[]): Promise<unknown> =>
    within(redis.call(command, ...args), ANSWER_MS)
  try {
    await within(redis.connect(), CONNECT_MS + ANSWER_MS).catch(error => {
      throw error instanceof NoResponse ? error : withHint(cause, tls !== null)
    })
    await greet(call, login).catch(error => {
      throw withHint(error as Error, tls !== null)
    })
  } catch (error) {
    close()
    throw error
  }
  redis.once('end', () => onEnd(cause))
  return {
    at,
    call,
    close,
    run(script, keys, args) {
      const send = (command: string, text: string): Promise<unknown> =>
        within(redis.call(command, text, keys.length, ...keys, ...args), ANSWER_MS)
      return send('EVALSHA', script.sha).catch((error: Error) => {
        if (!/\bNOSCRIPT\b/.test(error.message)) throw error
        return send('EVAL', script.source)
      })
    },
    async subscribe(channel, onMessage) {
      redis.on('messageBuffer', (_channel: Buffer, body: Buffer) => onMessage(body))
      await within(redis.subscribe(channel), ANSWER_MS)
    },
  }
}

/** Authenticates. A server without a password accepts any. */
async function greet(call: Client['call'], { username, password }: Login): Promise<void> {
  if (password !== '') {
    try {
      await (username === '' ? call('AUTH', password) : call('AUTH', username, password))
    } catch (error) {
      if (!/without any password configured|no password is set/.test((error as Error).message)) throw error
    }
  }
  await call('PING')
}

/** Adds a hint for the case that only one side uses TLS, which neither side reports. */
function withHint(error: Error, tls: boolean): Error {
  const { code } = error as NodeJS.ErrnoException
  if (tls && code === 'ETIMEDOUT') return new NoResponse(`no answer within ${CONNECT_MS} ms (does it use TLS?)`)
  if (!tls && (code === 'ECONNRESET' || error.message === 'Connection is closed.'))
    return new NoResponse('it closed the connection before it answered (does it require TLS, rediss://?)')
  return error
}

/** Rejects with NoResponse after `ms`. A response read in the same turn of the event loop still counts. */
export function within<T>(work: Promise<T>, ms: number): Promise<T> {
  return new Promise((resolve, reject) => {
    // After a stall of this process, timers run before sockets in a turn: read pending responses first.
    const timer = setTimeout(() => setImmediate(() => reject(new NoResponse(`no answer within ${ms} ms`))), ms)
    const settled = (): void => clearTimeout(timer)
    work.then(resolve, reject).finally(settled)
  })
}
