// The backends of the bench of shared state: nginx as an application that creates sessions, and a swarm that lists it as many servers.
// `/new?sid=X` answers with Set-Cookie; `/who` and `/new` name the server in X-Server.

import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../free-port.ts'
import { type Case, hostOf, serverHosts } from './cases.ts'
import type { Setting } from './cluster-replicas.ts'
import { type FakeSwarm, startFakeSwarm } from './fake-swarm.ts'
import { configuration, runNginx } from './nginx.ts'
import { end, type Started } from './processes.ts'

/** The application's session cookie. */
export const SESSION_COOKIE = 'JSESSIONID'
/** More than 100,000, because a part of a full table is reserved for sessions with a single request. */
export const TABLE_SIZE = 150_000
export const LEARN_LABELS = {
  'skein.sticky.learn': `cookie:${SESSION_COOKIE}`,
  'skein.sticky.size': `${TABLE_SIZE}`,
} as const
export const LEARNED_HOST = hostOf(0)

/** The directory for files of the parts, and the entry of Skein. */
export interface Place {
  readonly directory: string
  readonly skein: string
}

export interface World {
  /** The manager's endpoint for replicas. */
  readonly setting: Setting
  stop(): Promise<void>
}

/** Starts one service for each of `labels`, at `s0.bench.test` ..., all with the same `servers`. */
export async function startWorld(place: Place, servers: number, labels: Case['labels'] & {}): Promise<World> {
  const shape: Case = { name: 'state', title: '', services: labels.length, serversEach: servers, labels, load: null }
  const backendPort = await freePort()
  const backend = await startApplication(place.directory, backendPort, serverHosts(servers))
  let swarm: FakeSwarm
  try {
    swarm = await startFakeSwarm(shape, backendPort)
  } catch (error) {
    await end(backend)
    throw error
  }
  return {
    setting: { ...place, managers: [`tcp://127.0.0.1:${swarm.port}`], more: ['--no-learn-managers'] },
    async stop() {
      swarm.stop()
      await end(backend)
    },
  }
}

async function startApplication(directory: string, port: number, hosts: readonly string[]): Promise<Started> {
  const listen = hosts.map(host => `listen ${host}:${port} backlog=4096;`).join(' ')
  const body = 'x'.repeat(1024)
  const server = `  server {
    ${listen}
    location = /1k { return 200 "${body}"; }
    location = /who { add_header X-Server $server_addr; return 200 ok; }
    location = /new { add_header Set-Cookie "${SESSION_COOKIE}=$arg_sid; Path=/"; add_header X-Server $server_addr; return 200 ok; }
  }`
  const started = runNginx(directory, 'application', configuration(directory, '', server))
  await sleep(300)
  if (started.child.exitCode !== null) throw new Error(`the application (nginx) did not start; see ${started.logFile}`)
  return started
}
