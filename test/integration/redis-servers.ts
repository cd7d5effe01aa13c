// Real Redis for tests: servers, Sentinels and clusters on free loopback ports, in temporary directories, without persistence;
// ended by process id. Without Redis the tests that need it are skipped, and that is printed.

import { type ChildProcess, spawn } from 'node:child_process'
import { globSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { Redis } from 'ioredis'
import type { RedisStoreOptions } from '../../cluster/store/redis/options.ts'
import { freePort } from '../free-port.ts'
import type { Identity } from '../unit/providers/swarm/certificates.ts'
import { until } from '../until.ts'
import { sleep } from './cluster-harness.ts'

const HOST = '127.0.0.1'
const START_MS = 60_000
const made = new Set<RedisServer>()

/** Prints a line that the runner recognizes and returns false when Redis is not installed. */
export function hasRedis(what: string): boolean {
  const directories = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'].filter(directory => directory !== '')
  const missing = ['redis-server', 'redis-sentinel'].filter(
    command => !directories.some(directory => globSync(`${directory}/${command}`).length > 0),
  )
  if (missing.length > 0)
    console.log(`left out: ${what} (it needs ${missing.join(', ')}; on Debian: redis-server redis-sentinel)`)
  return missing.length === 0
}

/** Stops all servers that this process started and removes their files. */
export async function endServers(): Promise<void> {
  await Promise.all([...made].map(server => server.kill()))
}

/** A free port may be taken before it is used: retry with another. */
async function launch(make: (port: number, second: number) => RedisServer): Promise<RedisServer> {
  for (let attempt = 1; ; attempt++) {
    const server = make(await freePort(), await freePort())
    try {
      return await server.start()
    } catch (error) {
      await server.kill()
      if (attempt === 3 || !/already in use/.test((error as Error).message)) throw error
    }
  }
}

export class RedisServer {
  readonly port: number
  readonly #directory = mkdtempSync(join(tmpdir(), 'skein-redis-'))
  readonly #lines: readonly string[]
  readonly #command: string
  #child: ChildProcess | null = null
  #admin: Redis | null = null
  #password: string
  /** Certificate of its authority, if it uses TLS. */
  readonly #ca: string | null

  constructor(port: number, lines: readonly string[], password = '', command = 'redis-server', ca: string | null = null) {
    this.port = port
    this.#lines = lines
    this.#password = password
    this.#command = command
    this.#ca = ca
  }

  get address(): { readonly host: string; readonly port: number } {
    return { host: HOST, port: this.port }
  }

  /** Resolves when it responds. */
  async start(): Promise<this> {
    const file = join(this.#directory, 'redis.conf')
    const common = [`port ${this.port}`, `bind ${HOST}`, `dir ${this.#directory}`, 'protected-mode no']
    writeFileSync(file, `${[...common, ...this.#lines].join('\n')}\n`)
    const child = spawn(this.#command, [file], { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    made.add(this)
    let said = ''
    const collect = (chunk: Buffer): void => {
      said = `${said}${chunk}`.slice(-4_000)
    }
    child.stdout.on('data', collect)
    child.stderr.on('data', collect)
    const deadline = performance.now() + START_MS
    for (;;) {
      if (child.exitCode !== null) throw new Error(`${this.#command} at port ${this.port} ended:\n${said}`)
      if ((await this.ask('PING').catch(() => null)) === 'PONG') return this
      if (performance.now() > deadline) throw new Error(`${this.#command} at port ${this.port} does not answer:\n${said}`)
      await sleep(20)
    }
  }

  /** Runs one command as administrator. */
  ask(command: string, ...args: (string | number | Buffer)[]): Promise<unknown> {
    this.#admin ??= this.#connect()
    return this.#admin.call(command, ...args)
  }

  /** Sets the administrator's password. */
  usePassword(password: string): void {
    this.#password = password
    this.#admin?.disconnect()
    this.#admin = null
  }

  #connect(): Redis {
    const redis = new Redis({
      ...this.address,
      ...(this.#ca === null ? {} : { tls: { ca: this.#ca } }),
      ...(this.#password === '' ? {} : { password: this.#password }),
      protocol: 2,
      enableReadyCheck: false,
      disableClientInfo: true,
      maxRetriesPerRequest: 1,
      retryStrategy: () => 20,
    })
    redis.on('error', () => {})
    return redis
  }

  freeze(): void {
    this.#child?.kill('SIGSTOP')
  }

  thaw(): void {
    this.#child?.kill('SIGCONT')
  }

  /** Kills it like a power failure. It can be started again and is empty then. */
  async stop(): Promise<void> {
    this.#admin?.disconnect()
    this.#admin = null
    const child = this.#child
    this.#child = null
    if (child === null || child.exitCode !== null) return
    const ended = new Promise(resolve => child.once('exit', resolve))
    child.kill('SIGKILL')
    await ended
  }

  async kill(): Promise<void> {
    await this.stop()
    made.delete(this)
    rmSync(this.#directory, { recursive: true, force: true })
  }
}

const EMPTY = ['save ""', 'appendonly no']

export async function startSingle(lines: readonly string[] = [], password = ''): Promise<RedisServer> {
  const secret = password === '' ? [] : [`requirepass ${password}`]
  return launch(port => new RedisServer(port, [...EMPTY, ...secret, ...lines], password))
}

/** Starts a server that uses TLS only. */
export async function startWithTls(identity: Pick<Identity, 'cert' | 'key'>): Promise<RedisServer> {
  const directory = mkdtempSync(join(tmpdir(), 'skein-redis-'))
  const [cert, key] = [join(directory, 'cert.pem'), join(directory, 'key.pem')]
  writeFileSync(cert, identity.cert)
  writeFileSync(key, identity.key)
  const files = [`tls-cert-file ${cert}`, `tls-key-file ${key}`, `tls-ca-cert-file ${cert}`, 'tls-auth-clients no']
  const server = await launch(
    port => new RedisServer(port, [...EMPTY, 'port 0', `tls-port ${port}`, ...files], '', 'redis-server', identity.cert),
  )
  rmSync(directory, { recursive: true, force: true })
  return server
}

export interface Sentinels {
  readonly servers: readonly RedisServer[]
  readonly sentinels: readonly RedisServer[]
  /** The current master according to the Sentinels. */
  master(): Promise<RedisServer>
}

/** Starts a master, two replicas and three Sentinels that detect a failed master after 0.5 s; all with passwords. */
export async function startSentinels(name: string, password: string, sentinelPassword: string): Promise<Sentinels> {
  const secrets = [`requirepass ${password}`, `masterauth ${password}`, 'repl-diskless-sync-delay 0', 'repl-timeout 5']
  const master = await launch(port => new RedisServer(port, [...EMPTY, ...secrets], password))
  const following = [...EMPTY, ...secrets, `replicaof ${HOST} ${master.port}`]
  const follower = (): Promise<RedisServer> => launch(port => new RedisServer(port, following, password))
  const replicas = [await follower(), await follower()]
  await until(
    'the replicas follow the master',
    async () => {
      const info = String(await master.ask('INFO', 'replication'))
      return (info.match(/state=online/g) ?? []).length === 2
    },
    START_MS,
  )
  const watch = [
    `sentinel monitor ${name} ${HOST} ${master.port} 2`,
    `sentinel auth-pass ${name} ${password}`,
    `sentinel down-after-milliseconds ${name} 500`,
    `sentinel failover-timeout ${name} 3000`,
    `requirepass ${sentinelPassword}`,
  ]
  const sentinels: RedisServer[] = []
  for (let i = 0; i < 3; i++)
    sentinels.push(await launch(port => new RedisServer(port, watch, sentinelPassword, 'redis-sentinel')))
  await until(
    'the Sentinels know each other and the replicas',
    async () => {
      const told = await Promise.all(sentinels.map(one => one.ask('SENTINEL', 'MASTER', name) as Promise<string[]>))
      return told.every(fields => field(fields, 'num-other-sentinels') === '2' && field(fields, 'num-slaves') === '2')
    },
    START_MS,
  )
  const servers = [master, ...replicas]
  return {
    servers,
    sentinels,
    async master() {
      const told = await Promise.any(sentinels.map(one => one.ask('SENTINEL', 'get-master-addr-by-name', name)))
      return servers.find(server => server.port === Number((told as [string, string])[1])) as RedisServer
    },
  }
}

function field(fields: readonly string[], name: string): string | undefined {
  return fields[fields.indexOf(name) + 1]
}

/** Starts three masters with a replica each; a failed node is detected after 1 s. */
export async function startCluster(): Promise<readonly RedisServer[]> {
  const lines = [
    ...EMPTY,
    'cluster-enabled yes',
    'cluster-node-timeout 1000',
    'cluster-config-file nodes.conf',
    'repl-diskless-sync-delay 0',
  ]
  const nodes: RedisServer[] = []
  const buses = new Map<RedisServer, number>()
  for (let i = 0; i < 6; i++) {
    let bus = 0
    const node = await launch((port, second) => {
      bus = second
      return new RedisServer(port, [...lines, `cluster-port ${bus}`])
    })
    nodes.push(node)
    buses.set(node, bus)
  }
  const [first, ...others] = nodes as [RedisServer, ...RedisServer[]]
  const masters = nodes.slice(0, 3)
  await Promise.all(others.map(node => node.ask('CLUSTER', 'MEET', HOST, first.port, Number(buses.get(first)))))
  for (const [index, master] of masters.entries()) {
    const from = Math.floor((16_384 * index) / 3)
    const to = Math.floor((16_384 * (index + 1)) / 3) - 1
    await master.ask('CLUSTER', 'ADDSLOTSRANGE', from, to)
    // Distinct epochs avoid resolving a collision.
    await master.ask('CLUSTER', 'SET-CONFIG-EPOCH', index + 1).catch(() => {})
  }
  const ids = await Promise.all(masters.map(master => master.ask('CLUSTER', 'MYID')))
  await until(
    'the nodes know each other',
    async () => {
      const known = await Promise.all(
        nodes.map(async node =>
          String(await node.ask('CLUSTER', 'NODES'))
            .trim()
            .split('\n'),
        ),
      )
      return known.every(lines => lines.length === 6 && lines.every(line => !line.includes('handshake')))
    },
    START_MS,
  )
  for (const [index, node] of nodes.slice(3).entries()) await node.ask('CLUSTER', 'REPLICATE', String(ids[index]))
  await until(
    'the cluster is whole',
    async () => {
      const infos = await Promise.all(nodes.map(async node => String(await node.ask('CLUSTER', 'INFO'))))
      const links = await Promise.all(nodes.slice(3).map(async node => String(await node.ask('INFO', 'replication'))))
      return infos.every(info => info.includes('cluster_state:ok')) && links.every(info => info.includes('master_link_status:up'))
    },
    START_MS,
  )
  return nodes
}

/** The node that is now the master of a key's slot. */
export async function ownerOf(nodes: readonly RedisServer[], key: string): Promise<RedisServer> {
  for (const node of nodes) {
    const slot = await node.ask('CLUSTER', 'KEYSLOT', key).catch(() => null)
    if (slot === null) continue
    const own = await node.ask('CLUSTER', 'NODES').catch(() => '')
    const line = String(own)
      .split('\n')
      .find(text => text.includes('myself'))
    const ranges = line?.includes('master') === true ? line.split(' ').slice(8) : []
    const holds = ranges.some(range => {
      const [from, to = from] = range.split('-').map(Number)
      return Number(slot) >= Number(from) && Number(slot) <= Number(to)
    })
    if (holds) return node
  }
  throw new Error('no node serves the slot')
}

export function redisOptions(server: Pick<RedisServer, 'address'>, more: Partial<RedisStoreOptions> = {}): RedisStoreOptions {
  return {
    mode: 'single',
    hosts: [server.address],
    master: '',
    username: '',
    password: '',
    sentinelPassword: '',
    database: 0,
    tls: null,
    prefix: 'skein',
    cluster: 'test',
    ...more,
  }
}
