// The swarm of the cluster bench: the emulator with the timing of a real swarm, and tasks that are small HTTP servers on addresses of
// their own, which answer with their names.

import { createServer, type Server } from 'node:http'
import { createEmulatedSwarm, type EmulatedSwarm } from '../../src/emulator/swarm.ts'
import type { RunnableTask, TaskRunner } from '../../src/emulator/task-runner.ts'

export const SERVICE = 'app'
/** The host of the service; the replicas' domain is bench.test. */
export const HOST = 'app.bench.test'
const TASK_PORT = 8000

export interface BenchSwarm {
  readonly swarm: EmulatedSwarm
  readonly managers: readonly string[]
}

/** Three managers on 127.45.0.1 to 127.45.0.3, and one service of one task. */
export async function startSwarm(): Promise<BenchSwarm> {
  const swarm = createEmulatedSwarm({
    workers: 2,
    dedicatedManagers: true,
    addressPrefix: '127.45.0.',
    networks: { bench: '127.46.0.0/16' },
    runner: new NamedTasks(),
  })
  const { managers } = await swarm.listen()
  swarm.createService({
    name: SERVICE,
    networks: ['bench'],
    labels: { 'traefik.port': `${TASK_PORT}`, 'traefik.backend.loadbalancer.method': 'wrr' },
  })
  await swarm.settled()
  return { swarm, managers }
}

class NamedTasks implements TaskRunner {
  readonly #servers = new Map<string, Server>()

  start(task: RunnableTask): Promise<void> {
    const server = createServer((_, response) => response.writeHead(200, { 'x-task': task.id, 'content-length': 2 }).end('ok'))
    server.keepAliveTimeout = 120_000
    this.#servers.set(task.id, server)
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(TASK_PORT, task.addresses[0], resolve)
    })
  }

  async terminate(task: RunnableTask): Promise<void> {
    this.kill(task)
  }

  kill(task: RunnableTask): void {
    const server = this.#servers.get(task.id)
    this.#servers.delete(task.id)
    server?.close()
    server?.closeAllConnections()
  }
}
