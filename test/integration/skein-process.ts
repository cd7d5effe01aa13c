// Runs Skein as a process, with access to its output, exit code, admin API and entry point, for tests that use it from outside.
// `endAll` ends everything that was started.

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type {
  BreakerReport,
  ClusterReport,
  HealthReport,
  ProviderReport,
  SnapshotReport,
  StateReport,
} from '../../src/admin/admin-source.ts'
import { freePort } from '../free-port.ts'

interface Pages {
  readonly health: HealthReport
  readonly snapshot: SnapshotReport
  readonly managers: readonly ProviderReport[]
  readonly cluster: ClusterReport
  readonly breakers: readonly BreakerReport[]
  readonly state: StateReport
}

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
/** Only prevents hanging: a process takes seconds to start on a busy machine. */
const WAIT_MS = 60_000

export interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

export interface LogLine {
  readonly level: string
  readonly msg: string
  readonly [field: string]: unknown
}

const children = new Set<ChildProcess>()
const directories: string[] = []

/** Kills every remaining process and removes the temporary directories. */
export function endAll(): void {
  for (const child of children) child.kill('SIGKILL')
  for (const directory of directories) rmSync(directory, { recursive: true, force: true })
}

/** A new temporary directory. */
export function ownDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'skein-bad-input-'))
  directories.push(directory)
  return directory
}

export class Skein {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
  out = ''
  err = ''
  private readonly waiters = new Set<() => void>()

  constructor(args: readonly string[], env: Readonly<Record<string, string>> = {}, main = MAIN) {
    const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('SKEIN_')))
    this.child = spawn(process.execPath, [main, ...args], { env: { ...inherited, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    children.add(this.child)
    this.child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      this.out += chunk
      for (const wake of this.waiters) wake()
    })
    this.child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      this.err += chunk
    })
    this.ended = new Promise(resolve => {
      this.child.once('close', code => {
        children.delete(this.child)
        resolve({ code, out: this.out, err: this.err })
        for (const wake of this.waiters) wake()
      })
    })
  }

  /** Resolves when the standard output matches; rejects when the process has ended, or after a minute. */
  async says(text: RegExp): Promise<void> {
    await this.until(() => text.test(this.out), `it says ${text}`)
  }

  /** Resolves with the fields of the first log line whose message matches. */
  async logs(text: RegExp): Promise<LogLine> {
    await this.until(() => this.lines.some(line => text.test(line.msg)), `it logs ${text}`)
    return this.lines.find(line => text.test(line.msg))!
  }

  get lines(): LogLine[] {
    return this.out
      .split('\n')
      .filter(line => line.startsWith('{') && line.endsWith('}'))
      .map(line => JSON.parse(line))
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Ended> {
    this.child.kill(signal)
    return this.ended
  }

  private async until(done: () => boolean, what: string): Promise<void> {
    const end = performance.now() + WAIT_MS
    while (!done()) {
      const why = performance.now() > end ? `not within ${WAIT_MS} ms` : !children.has(this.child) ? 'it has ended' : null
      if (why !== null) throw new Error(`waited until ${what}: ${why}: ${this.out.slice(-4000)}${this.err.slice(-2000)}`)
      await new Promise<void>(resolve => {
        const timer = setTimeout(wake, 200)
        const { waiters } = this
        function wake(): void {
          clearTimeout(timer)
          waiters.delete(wake)
          resolve()
        }
        waiters.add(wake)
      })
    }
  }
}

/** Runs a command to its end. */
export function skein(args: readonly string[], env?: Readonly<Record<string, string>>): Promise<Ended> {
  return new Skein(args, env).ended
}

/** One replica with its own ports for entry point and admin API on 127.0.0.1. */
export class Replica extends Skein {
  readonly web: number
  readonly admin: number

  private constructor(
    web: number,
    admin: number,
    args: readonly string[],
    env: Readonly<Record<string, string>>,
    main: string | undefined,
  ) {
    const own = [
      '--entry-point',
      `web=127.0.0.1:${web}`,
      '--admin',
      `127.0.0.1:${admin}`,
      '--workers',
      '1',
      '--log-format',
      'json',
    ]
    super(['run', ...own, ...args], env, main)
    this.web = web
    this.admin = admin
  }

  /** `main`: src/main.ts of another checkout, instead of this one's. */
  static async start(args: readonly string[], env: Readonly<Record<string, string>> = {}, main?: string): Promise<Replica> {
    return new Replica(await freePort(), await freePort(), args, env, main)
  }

  /** Resolves once the entry point listens. */
  async serves(): Promise<void> {
    await this.says(/entry point web listens/)
  }

  /** GET through the entry point; status 0 if the connection was refused or broken. */
  async get(host: string, path = '/'): Promise<{ readonly status: number; readonly body: string }> {
    return fetchFrom(this.web, path, { host }).catch(() => ({ status: 0, body: '' }))
  }

  /** Repeats a GET until it has this status, for at most a minute; returns the body. */
  async answers(host: string, status: number, path = '/'): Promise<string> {
    const end = performance.now() + WAIT_MS
    for (;;) {
      const answer = await this.get(host, path)
      if (answer.status === status) return answer.body
      const why = this.child.exitCode !== null ? 'it has ended' : performance.now() > end ? `not within ${WAIT_MS} ms` : null
      if (why !== null)
        throw new Error(`${host}${path} answers ${answer.status}, not ${status}: ${why}: ${this.out.slice(-4000)}${this.err}`)
      await new Promise(resolve => setTimeout(resolve, 50))
    }
  }

  /** An answer of the admin API. */
  async api<P extends keyof Pages>(page: P): Promise<Pages[P]> {
    return JSON.parse((await fetchFrom(this.admin, `/api/${page}`, {})).body)
  }
}

function fetchFrom(
  port: number,
  path: string,
  headers: Readonly<Record<string, string>>,
): Promise<{ readonly status: number; readonly body: string }> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: '127.0.0.1', port, path, headers, agent: false, timeout: 30_000 }, response => {
      let body = ''
      response.setEncoding('utf8').on('data', (chunk: string) => {
        body += chunk
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
      response.on('error', reject)
    })
    outgoing.on('timeout', () => outgoing.destroy(new Error('no answer within 30 s')))
    outgoing.on('error', reject)
    outgoing.end()
  })
}
