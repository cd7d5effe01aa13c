// One connection to one Redis server (or Sentinel), and nothing that goes on by itself: ioredis speaks the protocol, but neither
// connects again nor queues nor repeats; whoever holds the connection decides that (redis.ts). Every answer has a time limit.

import { Redis } from 'ioredis'
import { Unanswered } from './failure-reason.ts'
import { type HostPort, type RedisStoreOptions, written } from './options.ts'
import type { Script } from './scripts.ts'

/** To connect, TLS included. */
export const CONNECT_MS = 1_000
/** From a command to its answer. Nobody waits for it but the loop that keeps watch: long enough for a busy machine. */
export const ANSWER_MS = 1_000

export interface Login {
  readonly username: string
  readonly password: string
}

export interface Client {
  /** `host:port`. */
  readonly at: string
  /** Rejects when nothing comes back within ANSWER_MS. */
  call(command: string, ...args: (string | number)[]): Promise<unknown>
  run(script: Script, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown>
  subscribe(channel: string, onMessage: (body: Buffer) => void): Promise<void>
  /** Ends at once; what waits for an answer is rejected. */
  close(): void
}

/** `onEnd` is called once when the connection ends, for whatever reason. Rejects with why there is none. */
export async function openClient(
  address: HostPort,
  login: Login,
  tls: RedisStoreOptions['tls'],
  onEnd: (error: Error) => void,
): Promise<Client> {
  const at = written(address)
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
      throw error instanceof Unanswered ? error : withHint(cause, tls !== null)
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

/** A server that wants no password is content with any. */
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

/** One side speaks TLS and the other does not: neither tells. */
function withHint(error: Error, tls: boolean): Error {
  const { code } = error as NodeJS.ErrnoException
  if (tls && code === 'ETIMEDOUT') return new Unanswered(`no answer within ${CONNECT_MS} ms (does it speak TLS?)`)
  if (!tls && (code === 'ECONNRESET' || error.message === 'Connection is closed.'))
    return new Unanswered('it closed the connection before it answered (does it want TLS, rediss://?)')
  return error
}

/** Rejects with Unanswered after `ms`; what comes in the very turn in which the time is over still counts. */
export function within<T>(work: Promise<T>, ms: number): Promise<T> {
  return new Promise((resolve, reject) => {
    // A process that was itself held up reads what has come meanwhile before it gives up: timers come before sockets in a turn.
    const timer = setTimeout(() => setImmediate(() => reject(new Unanswered(`no answer within ${ms} ms`))), ms)
    const settled = (): void => clearTimeout(timer)
    work.then(resolve, reject).finally(settled)
  })
}
