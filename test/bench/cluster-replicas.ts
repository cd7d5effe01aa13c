// Real replicas for the cluster bench: processes of Skein's command line on loopback or in a network namespace, their reports at
// GET /api/cluster, and waits until they agree.

import { Agent, request } from 'node:http'
import { join } from 'node:path'
import type { BreakerReport, ClusterReport, HealthReport, StateReport } from '../../src/admin/admin-source.ts'
import { freePort } from '../free-port.ts'
import { until } from '../until.ts'
import { end, type Started, start, tail } from './processes.ts'

export const SECRET = 'a secret of the bench, of no other use'
const READY_WITHIN_MS = 30_000
const LOOK_EVERY_MS = 25

interface Pages {
  readonly breakers: readonly BreakerReport[]
  readonly cluster: ClusterReport | null
  readonly health: HealthReport
  readonly state: StateReport
}

/** The common settings of all replicas of one part of the bench. */
export interface Setting {
  readonly directory: string
  /** The entry of Skein: src/main.ts, or main.js of a build. */
  readonly skein: string
  readonly managers: readonly string[]
  /** Further arguments of the command line. */
  readonly more?: readonly string[]
}

/** The place of a replica: its addresses, and the command that starts processes there. */
export interface Place {
  readonly listen: string
  readonly reach: string
  readonly through: readonly string[]
}

export const LOOPBACK: Place = { listen: '127.0.0.1', reach: '127.0.0.1', through: [] }

export class BenchReplica {
  readonly name: string
  readonly place: Place
  readonly web: number
  readonly admin: number
  readonly gossip: number
  readonly relay: number
  /** host:port of all members; empty: clustering is off. */
  peers: readonly string[] = []
  private readonly setting: Setting
  private process: Started | null = null
  private lives = 0
  readonly agent = new Agent({ keepAlive: true, maxSockets: 1 })

  private constructor(name: string, setting: Setting, place: Place, ports: readonly number[]) {
    const [web = 0, admin = 0, gossip = 0, relay = 0] = ports
    this.name = name
    this.setting = setting
    this.place = place
    this.web = web
    this.admin = admin
    this.gossip = gossip
    this.relay = relay
  }

  static async create(name: string, setting: Setting, place: Place = LOOPBACK): Promise<BenchReplica> {
    // A free port may be returned twice.
    const ports = new Set<number>()
    while (ports.size < 4) ports.add(await freePort())
    return new BenchReplica(name, setting, place, [...ports])
  }

  get pid(): number {
    if (this.process === null) throw new Error(`${this.name} does not run`)
    return this.process.pid
  }

  get alive(): boolean {
    return this.process !== null && this.process.child.exitCode === null && this.process.child.signalCode === null
  }

  start(): void {
    const { setting, place, peers } = this
    const cluster = [
      ...['--cluster-listen', `${place.listen}:${this.gossip}`, '--relay-listen', `${place.listen}:${this.relay}`],
      ...['--cluster-advertise', place.reach, ...peers.flatMap(peer => ['--cluster-peer', peer])],
    ]
    const skeinArgs = [
      ...[setting.skein, 'run', '--name', this.name, '--domain', 'bench.test', '--workers', '1', '--log-level', 'warn'],
      ...['--entry-point', `web=${place.listen}:${this.web}`, '--admin', `${place.listen}:${this.admin}`],
      ...setting.managers.flatMap(manager => ['--manager', manager]),
      ...(peers.length === 0 ? [] : cluster),
      ...(setting.more ?? []),
    ]
    const [command = '', ...args] = [...place.through, process.execPath, ...skeinArgs]
    const log = join(setting.directory, `${this.name}-${++this.lives}.log`)
    this.process = start(command, args, log, { NODE_ENV: 'production', SKEIN_SECRET: peers.length === 0 ? '' : SECRET })
  }

  signal(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal)
  }

  /** Sends SIGTERM; resolves when the process has ended. */
  async stop(): Promise<void> {
    if (this.process !== null) await end(this.process)
    this.process = null
  }

  /** Sends SIGKILL without waiting. */
  kill(): void {
    this.signal('SIGKILL')
    this.process = null
  }

  /** Sends one GET for the bench's service through the entry point; resolves with the status, 0 without an answer. */
  async get(host: string, timeoutMs = 2000): Promise<Answer> {
    return get(this.place.reach, this.web, '/1k', timeoutMs, this.agent, host)
  }

  /** Reads a page of the admin API; null if it does not answer. */
  async page<P extends keyof Pages>(page: P, timeoutMs = 1000): Promise<Pages[P] | null> {
    const { status, body } = await get(this.place.reach, this.admin, `/api/${page}`, timeoutMs, this.agent)
    return status === 200 ? (JSON.parse(body) as Pages[P]) : null
  }

  /** The end of the log. */
  logTail(): string {
    return this.process === null ? '' : tail(this.process.logFile)
  }
}

export interface Answer {
  readonly status: number
  readonly body: string
  readonly task: string
}

function get(host: string, port: number, path: string, timeoutMs: number, agent: Agent, authority?: string): Promise<Answer> {
  return new Promise(resolve => {
    const fail = (): void => {
      clearTimeout(timer)
      resolve({ status: 0, body: '', task: '' })
    }
    const headers = authority === undefined ? {} : { host: authority }
    const outgoing = request({ host, port, path, headers, agent }, response => {
      let body = ''
      response.setEncoding('utf8').on('data', (chunk: string) => {
        body += chunk
      })
      response.on('end', () => {
        clearTimeout(timer)
        resolve({ status: response.statusCode ?? 0, body, task: String(response.headers['x-task'] ?? '') })
      })
      response.on('error', fail)
    })
    const timer = setTimeout(() => outgoing.destroy(new Error('no answer')), timeoutMs)
    outgoing.on('error', fail)
    outgoing.end()
  })
}

/** Starts replicas as one cluster (`clustered`) or separately; resolves when all serve. */
export async function startAll(replicas: readonly BenchReplica[], clustered: boolean, host: string): Promise<void> {
  const peers = replicas.map(({ place, gossip }) => `${place.reach}:${gossip}`)
  for (const replica of replicas) {
    replica.peers = clustered ? peers : []
    replica.start()
  }
  if (clustered) await settled(replicas)
  for (const replica of replicas) {
    await until(`${replica.name} answers for ${host}`, async () => (await replica.get(host)).status === 200, READY_WITHIN_MS, {
      everyMs: LOOK_EVERY_MS,
    }).catch((error: Error) => {
      throw new Error(`${error.message}\n${replica.logTail()}`)
    })
  }
}

/** Resolves with the leader once all replicas report each other, the same leader and its revision. */
export async function settled(replicas: readonly BenchReplica[]): Promise<BenchReplica> {
  let leader: BenchReplica | undefined
  let seen: readonly (ClusterReport | null)[] = []
  const agree = async (): Promise<boolean> => {
    seen = await Promise.all(replicas.map(replica => replica.page('cluster')))
    const id = seen[0]?.leader?.id
    const same = seen.every(
      one =>
        one !== null &&
        one.leader?.id === id &&
        one.hash === seen[0]?.hash &&
        one.revision !== null &&
        one.members.filter(member => member.state === 'alive').length === replicas.length,
    )
    leader = replicas.find((_, i) => seen[i]?.self === id)
    return id !== undefined && same && leader !== undefined
  }
  await until('the replicas to agree', agree, READY_WITHIN_MS, { everyMs: LOOK_EVERY_MS }).catch(() => {
    const views = replicas.map(({ name }, i) => {
      const one = seen[i]
      const members = one?.members.map(member => `${member.name} ${member.state}`).join(', ')
      return one == null ? `${name} does not answer` : `${name}: leader ${one.leader?.name}, hash ${one.hash}, ${members}`
    })
    throw new Error(`the replicas did not agree within ${READY_WITHIN_MS / 1000} s:\n${views.join('\n')}`)
  })
  return leader!
}
