// Many members in one process, without providers or traffic: measures the idle cost of clustering, and how fast a large configuration
// reaches all members. It runs as a separate process (`node cluster-members.ts idle 30 20`, `... snapshot 100 5`), whose last line is
// one JSON list.

import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Held } from '../../cluster/core/state.ts'
import type { ClusterLog } from '../../cluster/log.ts'
import { startCluster } from '../../cluster/member.ts'
import type { Cluster } from '../../cluster/status.ts'
import { until } from '../until.ts'
import { start, tail } from './processes.ts'

const SECRET = 'a secret of the bench, of no other use'
const TOGETHER_WITHIN_MS = 180_000
const SPREAD_WITHIN_MS = 60_000
/** Time limit of each member's join in ms. Members start one after the other, because all share one core. */
const JOINED_WITHIN_MS = 10_000
/** Minimum interval in ms of checks of all members. */
const LOOK_MS = 500
const SETTLE_MS = 5000
/** Length of the body of `snapshot` in characters. */
const BODY_LENGTH = 1024 * 1024

/** Runs this file as a separate process; resolves with its list of numbers. */
export async function measureMembers(
  what: 'idle' | 'snapshot',
  members: number,
  amount: number,
  directory: string,
): Promise<number[]> {
  const log = `${directory}/members-${what}-${members}.log`
  const { child } = start(process.execPath, [fileURLToPath(import.meta.url), what, `${members}`, `${amount}`], log)
  const deadline =
    performance.now() + TOGETHER_WITHIN_MS + (what === 'idle' ? amount * 1000 : amount * SPREAD_WITHIN_MS) + SETTLE_MS
  while (child.exitCode === null && child.signalCode === null) {
    if (performance.now() > deadline) throw new Error(`${members} members in one process (${what}) did not finish\n${tail(log)}`)
    await sleep(100)
  }
  const last = tail(log).split('\n').at(-1) ?? ''
  if (child.exitCode !== 0 || !last.startsWith('['))
    throw new Error(`${members} members in one process (${what}) failed:\n${tail(log)}`)
  return JSON.parse(last) as number[]
}

interface OneMember {
  readonly cluster: Cluster
  /** Hash of the last received configuration, and its time (performance.now()). */
  held: { readonly hash: string; readonly at: number } | null
}

async function startMembers(count: number): Promise<OneMember[]> {
  const silent = (): void => {}
  const log: ClusterLog = { debug: silent, info: silent, warn: silent, error: silent }
  const members: OneMember[] = []
  const add = async (): Promise<OneMember> => {
    // All addresses, as a DNS name of the whole service would return them.
    const peers = members.map(({ cluster }) => ({ host: '127.0.0.1', port: cluster.port }))
    const member: { held: OneMember['held'] } = { held: null }
    const cluster = await startCluster(
      {
        name: `member-${members.length}-${randomBytes(4).toString('hex')}`,
        cluster: 'bench',
        listen: { host: '127.0.0.1', port: 0 },
        peers,
        advertise: ['127.0.0.1'],
        relayPort: null,
        secrets: [SECRET],
        version: 'bench',
        held: null,
      },
      {
        role: silent,
        members: silent,
        hint: silent,
        check: () => null,
        shared: () => {},
        hold: ({ hash }: Held) => {
          member.held = { hash, at: performance.now() }
        },
      },
      log,
    )
    cluster.setLocal({ manager: 'none', managerHealthy: true })
    const added = Object.assign(member, { cluster })
    members.push(added)
    return added
  }
  while (members.length < count) {
    const { cluster } = await add()
    await until(`member ${members.length} to join the cluster`, () => hasJoined(cluster, members.length), JOINED_WITHIN_MS, {
      everyMs: 20,
    })
  }
  const together = `${count} members to report each other and one leader`
  await until(together, () => members.every(knowsAll(count)), TOGETHER_WITHIN_MS, { everyMs: LOOK_MS })
  return members
}

/** Whether a member has joined. It may be the leader, since a member that was alone for a moment may have the higher term. */
function hasJoined(cluster: Cluster, started: number): boolean {
  const { leader, members } = cluster.status()
  return leader !== null && (started === 1 || members.filter(({ state }) => state === 'alive').length * 2 > started)
}

function knowsAll(count: number): (member: OneMember) => boolean {
  return ({ cluster }) => {
    const { leader, members } = cluster.status()
    return leader !== null && members.filter(({ state }) => state === 'alive').length === count
  }
}

/** CPU at rest over this time, in percent of one core per member. */
async function idle(count: number, seconds: number): Promise<number[]> {
  const members = await startMembers(count)
  await sleep(SETTLE_MS)
  const before = process.cpuUsage()
  const since = performance.now()
  await sleep(seconds * 1000)
  const { user, system } = process.cpuUsage(before)
  const elapsedUs = (performance.now() - since) * 1000
  if (!members.every(knowsAll(count))) throw new Error('the members did not stay together while they were measured')
  return [((user + system) / elapsedUs / count) * 100]
}

/** Milliseconds from the leader's publication of a body of 1 MB until all members have it, one value for each run. */
async function snapshot(count: number, runs: number): Promise<number[]> {
  const members = await startMembers(count)
  await sleep(SETTLE_MS)
  const taken: number[] = []
  for (let run = 0; run < runs; run++) {
    const leader = members.find(({ cluster }) => cluster.status().role === 'leader')
    if (leader === undefined) throw new Error('no member leads')
    const others = members.filter(member => member !== leader)
    const body = largeBody()
    const since = performance.now()
    const revision = leader.cluster.publish(body)
    const { hash } = leader.cluster.status()
    if (revision === null) throw new Error('the leader did not accept the body')
    await until('all members to have the body', () => others.every(({ held }) => held?.hash === hash), SPREAD_WITHIN_MS, {
      everyMs: 20,
    })
    taken.push(Math.max(...others.map(({ held }) => held?.at ?? Number.POSITIVE_INFINITY)) - since)
    await sleep(SETTLE_MS / 5)
  }
  return taken
}

/** A body like a configuration: a few thousand servers with different names and addresses, so that it compresses like one. */
function largeBody(): string {
  const servers: object[] = []
  for (let length = 0; length < BODY_LENGTH; length += 160) {
    const id = randomBytes(12).toString('hex')
    const url = `http://10.0.${servers.length >> 8}.${servers.length & 255}:8000`
    servers.push({
      id,
      url,
      name: `service-${servers.length >> 2}.${servers.length & 3}`,
      state: 'active',
      weight: 1,
      source: 'swarm',
    })
  }
  return JSON.stringify({ servers }).padEnd(BODY_LENGTH).slice(0, BODY_LENGTH)
}

if (process.argv[1] === import.meta.filename) {
  const [, , what, members, amount] = process.argv
  const measured = await (what === 'idle' ? idle : snapshot)(Number(members), Number(amount))
  process.stdout.write(`${JSON.stringify(measured)}\n`, () => process.exit(0))
}
