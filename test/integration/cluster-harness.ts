// Members and bare networks on the loopback, with recorded logs and hook calls; and members in processes of their own, which
// can be killed or suspended.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Held, Member, MemberId } from '../../cluster/core/state.ts'
import { startNetwork } from '../../cluster/gossip/libp2p.ts'
import type { Network } from '../../cluster/gossip/network.ts'
import type { ClusterLog } from '../../cluster/log.ts'
import { startCluster } from '../../cluster/member.ts'
import type { MemberOptions } from '../../cluster/options.ts'
import type { Cluster, ClusterStatus } from '../../cluster/status.ts'
import type { Change } from '../../cluster/store/model.ts'
import { until } from '../until.ts'

export const SECRET = 'the secret of the cluster under test, long enough'

export const sleep = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

export class RecordedLog implements ClusterLog {
  readonly lines: string[] = []
  debug = (_: unknown, message: string): void => void this.lines.push(`debug: ${message}`)
  info = (_: unknown, message: string): void => void this.lines.push(`info: ${message}`)
  warn = (_: unknown, message: string): void => void this.lines.push(`warn: ${message}`)
  error = (_: unknown, message: string): void => void this.lines.push(`error: ${message}`)
  has(pattern: RegExp): boolean {
    return this.lines.some(line => pattern.test(line))
  }
}

// ---- bare networks ----

export interface TestNetwork extends Network {
  readonly log: RecordedLog
  readonly address: string
  readonly connected: Set<MemberId>
  /** `connected a`, `disconnected a` ... in order. */
  readonly history: string[]
  readonly messages: { readonly from: MemberId; readonly text: string }[]
  readonly bodies: Map<string, string>
}

const networks: Network[] = []

export async function openNetwork(
  options: { secrets?: readonly string[]; cluster?: string; onMessage?: (from: MemberId, data: Uint8Array) => void } = {},
): Promise<TestNetwork> {
  const log = new RecordedLog()
  const connected = new Set<MemberId>()
  const history: string[] = []
  const messages: { from: MemberId; text: string }[] = []
  const bodies = new Map<string, string>()
  const network = await startNetwork({
    listen: { host: '127.0.0.1', port: 0 },
    secrets: options.secrets ?? [SECRET],
    cluster: options.cluster ?? 'test',
    log,
    events: {
      message(from, data) {
        if (options.onMessage !== undefined) options.onMessage(from, data)
        else messages.push({ from, text: Buffer.from(data).toString() })
      },
      connected(peer) {
        connected.add(peer)
        history.push(`connected ${peer}`)
      },
      disconnected(peer) {
        connected.delete(peer)
        history.push(`disconnected ${peer}`)
      },
      bodyOf: hash => bodies.get(hash) ?? null,
    },
  })
  networks.push(network)
  return Object.assign(network, { log, address: `127.0.0.1:${network.port}`, connected, history, messages, bodies })
}

/** Connects every network with every other one. */
export async function join(...all: TestNetwork[]): Promise<void> {
  const addresses = all.map(({ address }) => address)
  for (const network of all) network.setTargets(addresses)
  await until('all are connected', () => all.every(({ connected }) => connected.size === all.length - 1))
}

// ---- members ----

export interface TestMember extends Cluster {
  readonly log: RecordedLog
  readonly name: string
  /** Configurations passed to the `hold` hook, in order. */
  readonly held: Held[]
  readonly roles: string[]
  /** Changes of the shared store from other members, in order. */
  readonly shared: Change[]
  members: readonly Member[]
}

const clusters: Cluster[] = []

export async function startMember(
  name: string,
  peers: readonly { readonly port: number }[],
  options: Partial<MemberOptions> & {
    check?: (body: string) => string | null
    onHold?: () => void
    onShared?: (changes: readonly Change[]) => void
    healthy?: boolean
  } = {},
): Promise<TestMember> {
  const log = new RecordedLog()
  const held: Held[] = []
  const shared: Change[] = []
  const roles: string[] = []
  const state: { members: readonly Member[] } = { members: [] }
  const { check = () => null, onHold, onShared, healthy = true, ...rest } = options
  const cluster = await startCluster(
    {
      name,
      cluster: 'test',
      listen: { host: '127.0.0.1', port: 0 },
      peers: peers.map(({ port }) => ({ host: '127.0.0.1', port })),
      advertise: [],
      relayPort: null,
      secrets: [SECRET],
      version: '0.0.0',
      held: null,
      ...rest,
    },
    {
      role: role => void roles.push(role),
      hold(one) {
        held.push(one)
        onHold?.()
      },
      members: list => void (state.members = list),
      hint: () => undefined,
      shared(changes) {
        shared.push(...changes)
        onShared?.(changes)
      },
      check,
    },
    log,
  )
  cluster.setLocal({ manager: 'm1', managerHealthy: healthy })
  clusters.push(cluster)
  return Object.assign(cluster, state, { log, name, held, roles, shared })
}

const alive = ({ members }: ClusterStatus): string[] => members.filter(({ state }) => state === 'alive').map(({ name }) => name)

/** All members see this number of live members and the same leader. */
export function agree(members: readonly Cluster[], count = members.length): boolean {
  const states = members.map(member => member.status())
  const leaders = new Set(states.map(({ leader }) => leader?.id))
  return leaders.size === 1 && !leaders.has(undefined) && states.every(state => alive(state).length === count)
}

export async function together(members: readonly Cluster[], count = members.length, withinMs = 60_000): Promise<void> {
  await until(`${count} members and one leader`, () => agree(members, count), withinMs)
}

export function leaderOf<T extends Cluster>(members: readonly T[]): T {
  const leader = members.find(member => member.status().role === 'leader')
  if (leader === undefined) throw new Error('none of them leads')
  return leader
}

/** Stops everything that the tests have started. */
export async function endAll(): Promise<void> {
  for (const child of children) if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
  await Promise.all([...clusters, ...networks].map(each => each.stop()))
}

// ---- members in processes of their own ----

const children: ChildProcess[] = []

export interface ChildMember {
  readonly port: number
  readonly id: MemberId
  /** Resolves when it leads. */
  readonly leads: Promise<unknown>
  readonly signal: (signal: NodeJS.Signals) => void
}

export async function spawnMember(name: string, peers: readonly { readonly port: number }[] = []): Promise<ChildMember> {
  const args = [fileURLToPath(import.meta.url), name, ...peers.map(({ port }) => String(port))]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  const lines = createInterface(child.stdout!)
  const [line] = (await once(lines, 'line')) as [string]
  const leads = once(lines, 'line')
  return { ...(JSON.parse(line) as { port: number; id: MemberId }), leads, signal: signal => void child.kill(signal) }
}

if (process.argv[1] === import.meta.filename) {
  const [, , name, ...ports] = process.argv
  const member = await startMember(
    name!,
    ports.map(text => ({ port: Number(text) })),
  )
  const { port, id } = member
  process.stdout.write(`${JSON.stringify({ port, id })}\n`)
  while (member.status().role !== 'leader') await sleep(20)
  process.stdout.write('leads\n')
}
