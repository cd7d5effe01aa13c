// A redis-server for the bench: on 127.0.0.1, in memory only, ended with the bench.

import { existsSync } from 'node:fs'
import { connect } from 'node:net'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../free-port.ts'
import { type Started, start, tail } from './processes.ts'

const WITHIN_MS = 5000

export interface RedisServer {
  readonly started: Started
  readonly port: number
}

export function hasRedis(): boolean {
  return (process.env.PATH ?? '').split(delimiter).some(directory => existsSync(join(directory, 'redis-server')))
}

/** Starts redis-server. Throws if it does not listen within 5 s. */
export async function startRedis(directory: string): Promise<RedisServer> {
  const port = await freePort()
  const args = ['--bind', '127.0.0.1', '--port', `${port}`, '--save', '', '--appendonly', 'no', '--dir', directory]
  const started = start('redis-server', args, join(directory, 'redis.log'))
  const deadline = performance.now() + WITHIN_MS
  while (!(await listens(port))) {
    if (performance.now() > deadline || started.child.exitCode !== null)
      throw new Error(`redis-server did not start:\n${tail(started.logFile)}`)
    await sleep(20)
  }
  return { started, port }
}

function listens(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
