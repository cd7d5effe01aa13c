// Redis with Sentinels for the lab: a master, a replica and three Sentinels as processes in the outer namespace, where every container
// reaches them. They are in the lab's control group, with their files below its directory.

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { until } from '../until.ts'
import { run } from './command.ts'
import { enterGroup, toolGroup } from './groups.ts'
import { namespacePath } from './network.ts'
import { GATEWAY, LAB_DIR, OUTER } from './topology.ts'

export const MASTER_NAME = 'main'
const REDIS_PORTS = [6379, 6380] as const
const SENTINEL_PORTS = [26_379, 26_380, 26_381] as const
const DIR = join(LAB_DIR, 'sentinels')
const UP_MS = 30_000

/** The value of --redis-url for the replicas. */
export const SENTINEL_URL = `redis+sentinel://${SENTINEL_PORTS.map(port => `${GATEWAY}:${port}`).join(',')}/${MASTER_NAME}/0`

export class Sentinels {
  private readonly children = new Map<number, ChildProcess>()

  /** Starts all processes; resolves when they have found each other. */
  static async start(): Promise<Sentinels> {
    const all = new Sentinels()
    mkdirSync(DIR, { recursive: true })
    const [master, ...replicas] = REDIS_PORTS
    const common = ['protected-mode no', `bind ${GATEWAY}`, `dir ${DIR}`, 'save ""', 'appendonly no']
    all.launch(master, common)
    for (const port of replicas) all.launch(port, [...common, `replicaof ${GATEWAY} ${master}`])
    await until(
      'the Redis replica to follow',
      async () => (await all.ask(master, 'INFO', 'replication')).includes('state=online'),
      UP_MS,
      { everyMs: 100 },
    )
    for (const port of SENTINEL_PORTS)
      all.launch(
        port,
        [
          'protected-mode no',
          `bind ${GATEWAY}`,
          `dir ${DIR}`,
          `sentinel monitor ${MASTER_NAME} ${GATEWAY} ${master} 2`,
          `sentinel down-after-milliseconds ${MASTER_NAME} 1000`,
          `sentinel failover-timeout ${MASTER_NAME} 5000`,
        ],
        ['--sentinel'],
      )
    await until(
      'the Sentinels to find each other',
      async () => {
        const answers = await Promise.all(SENTINEL_PORTS.map(port => all.ask(port, 'SENTINEL', 'MASTER', MASTER_NAME)))
        return answers.every(text => /num-other-sentinels\n2\n/.test(text) && /num-slaves\n1\n/.test(text))
      },
      UP_MS,
      { everyMs: 100 },
    )
    return all
  }

  /** The port of the current master according to the Sentinels. */
  async master(): Promise<number> {
    const master = await this.ask(SENTINEL_PORTS[0], 'SENTINEL', 'get-master-addr-by-name', MASTER_NAME)
    return Number(master.split('\n')[1])
  }

  /** Kills the process on a port (SIGKILL). */
  kill(port: number): void {
    this.children.get(port)?.kill('SIGKILL')
  }

  /** The number of keys of the Redis on a port. */
  async size(port: number): Promise<number> {
    return Number(await this.ask(port, 'DBSIZE'))
  }

  end(): void {
    for (const child of this.children.values()) child.kill('SIGKILL')
    rmSync(DIR, { recursive: true, force: true })
  }

  private launch(port: number, lines: readonly string[], flags: readonly string[] = []): void {
    const file = join(DIR, `${port}.conf`)
    writeFileSync(file, `${[`port ${port}`, ...lines].join('\n')}\n`)
    const script = `${enterGroup(toolGroup())} && net="$1" && shift && exec nsenter --net="$net" redis-server "$@"`
    this.children.set(port, spawn('sh', ['-c', script, 'sh', namespacePath(OUTER), file, ...flags], { stdio: 'ignore' }))
  }

  private ask(port: number, ...command: readonly string[]): Promise<string> {
    return run('nsenter', [`--net=${namespacePath(OUTER)}`, 'redis-cli', '-h', GATEWAY, '-p', `${port}`, ...command], {
      timeoutMs: 5000,
    })
  }
}
