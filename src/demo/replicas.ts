// A Skein replica of the demo: a child process that runs the real command line, can be killed and restarted, and ends with the demo.

import { type ChildProcess, spawn } from 'node:child_process'
import { extname, join } from 'node:path'

export interface ReplicaPlan {
  readonly name: string
  readonly webPort: number
  readonly adminPort: number
  /** Where the other replicas reach it: gossip, and relayed requests. */
  readonly clusterPort: number
  readonly relayPort: number
}

export interface ReplicaSettings {
  readonly managers: readonly string[]
  readonly secret: string
  /** The cluster ports of all replicas, on 127.0.0.1. */
  readonly clusterPorts: readonly number[]
  /** Directory below which each replica keeps its last configuration. */
  readonly dataDir: string
  /** Called when a replica ends without `kill` or `stop`, with its last log lines. */
  onCrash(name: string, lastLines: readonly string[]): void
}

const keptLines = 8
const graceMs = 4_000

/** One replica across restarts. */
export class Replica {
  readonly plan: ReplicaPlan
  readonly #settings: ReplicaSettings
  #child: ChildProcess | null = null
  #stopRequested = false

  constructor(plan: ReplicaPlan, settings: ReplicaSettings) {
    this.plan = plan
    this.#settings = settings
  }

  get alive(): boolean {
    return this.#child !== null
  }

  /** The id of its process; null while it does not run. */
  get pid(): number | null {
    return this.#child?.pid ?? null
  }

  start(): void {
    if (this.#child !== null) return
    const { name, webPort, adminPort, clusterPort, relayPort } = this.plan
    const { managers, secret, clusterPorts, dataDir } = this.#settings
    // TypeScript in a checkout, JavaScript in a build.
    const entry = join(import.meta.dirname, `../demo-replica${extname(import.meta.filename)}`)
    const args = [
      ...['run', '--name', name, '--domain', 'localhost', '--workers', '1', '--grace', '2s', '--log-level', 'warn'],
      ...['--entry-point', `web=127.0.0.1:${webPort}`, '--admin', `127.0.0.1:${adminPort}`, '--data-dir', join(dataDir, name)],
      ...['--cluster-listen', `127.0.0.1:${clusterPort}`, '--relay-listen', `127.0.0.1:${relayPort}`],
      ...['--cluster-advertise', '127.0.0.1', ...clusterPorts.flatMap(port => ['--cluster-peer', `127.0.0.1:${port}`])],
      ...managers.flatMap(manager => ['--manager', manager]),
    ]
    this.#stopRequested = false
    const child = spawn(process.execPath, [entry, ...args], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: { ...process.env, SKEIN_SECRET: secret, SKEIN_LOG_FORMAT: 'json', DEMO_OF_SKEIN_DIRECTORY: dataDir },
    })
    this.#child = child
    const lines: string[] = []
    const keep = (chunk: Buffer): void => {
      lines.push(
        ...chunk
          .toString('utf8')
          .split('\n')
          .filter(line => line !== ''),
      )
      lines.splice(0, Math.max(0, lines.length - keptLines))
    }
    child.stdout?.on('data', keep)
    child.stderr?.on('data', keep)
    child.on('error', error => lines.push(String(error)))
    child.on('close', () => {
      if (this.#child !== child) return
      this.#child = null
      if (!this.#stopRequested) this.#settings.onCrash(name, lines)
    })
  }

  /** Ends the process with SIGKILL, like a crash. */
  kill(): void {
    this.#stopRequested = true
    this.#child?.kill('SIGKILL')
    this.#child = null
  }

  /** Ends the process with SIGTERM, after `graceMs` with SIGKILL; resolves when it has ended. */
  stop(): Promise<void> {
    const child = this.#child
    this.#stopRequested = true
    if (child === null || child.exitCode !== null) return Promise.resolve()
    return new Promise(resolve => {
      const timer = setTimeout(() => child.kill('SIGKILL'), graceMs)
      child.on('exit', () => {
        clearTimeout(timer)
        resolve()
      })
      child.kill('SIGTERM')
    })
  }
}
