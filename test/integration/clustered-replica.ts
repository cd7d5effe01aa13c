// A replica in a cluster, as a process of its own (skein-process.ts), and its peers' view of it, for tests with clusters of
// real processes on the loopback.

import type { ClusterReport } from '../../src/admin/admin-source.ts'
import { freePort } from '../free-port.ts'
import { until } from '../until.ts'
import { Replica } from './skein-process.ts'

export const SECRET = 'the secret of a cluster in a test'
/** Bounds a hanging test. */
const WITHIN_MS = 60_000

export interface MemberSketch {
  readonly name: string
  /** Absent: no swarm; services come from elsewhere. */
  readonly manager?: string
  /** host:port of the gossip port of others. */
  readonly peers?: readonly string[]
  readonly secret?: string
  readonly cluster?: string
  /** Listening address for gossip; default: any free port. */
  readonly port?: number
  /** host:port, instead of a port of 127.0.0.1. */
  readonly listen?: string
  readonly more?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** src/main.ts of another checkout. */
  readonly main?: string
}

export class ClusteredReplica {
  readonly name: string
  readonly replica: Replica
  readonly gossip: string

  private constructor(name: string, replica: Replica, gossip: string) {
    this.name = name
    this.replica = replica
    this.gossip = gossip
  }

  static async start(sketch: MemberSketch): Promise<ClusteredReplica> {
    const {
      name,
      manager,
      peers = [],
      secret = SECRET,
      cluster,
      port = await freePort(),
      listen,
      more = [],
      env = {},
      main,
    } = sketch
    const gossip = listen ?? `127.0.0.1:${port}`
    const replica = await Replica.start(
      [
        ...[
          '--name',
          name,
          ...(manager === undefined ? [] : ['--manager', manager]),
          '--domain',
          'test',
          '--cluster-listen',
          gossip,
        ],
        ...['--cluster-advertise', gossip.slice(0, gossip.lastIndexOf(':')), ...peers.flatMap(peer => ['--cluster-peer', peer])],
        ...(cluster === undefined ? [] : ['--cluster-name', cluster]),
        ...more,
      ],
      { SKEIN_SECRET: secret, ...env },
      main,
    )
    return new ClusteredReplica(name, replica, gossip)
  }

  status(): Promise<ClusterReport> {
    return this.replica.api('cluster')
  }

  /** Resolves when it sees this number of live members, itself included, follows a leader, and serves its configuration. */
  async agreesWith(members: number): Promise<ClusterReport> {
    let last: ClusterReport | null = null
    await until(
      `${this.name} sees ${members} members and serves their configuration`,
      async () => {
        last = await this.status().catch(() => null)
        if (last?.leader == null || last.revision === null) return false
        return alive(last) === members && JSON.stringify(last.revision) === JSON.stringify(last.target)
      },
      WITHIN_MS,
      { everyMs: 50 },
    ).catch((error: Error) => {
      throw new Error(`${error.message}: ${JSON.stringify(last)}\n${this.replica.out.slice(-2000)}`)
    })
    return last!
  }
}

export function alive({ members }: ClusterReport): number {
  return members.filter(({ state }) => state === 'alive').length
}

/** Starts this number of replicas, `a`, `b`, ..., which know the first one. Resolves when all see each other. */
export async function startCluster(
  names: readonly string[],
  sketch: Omit<MemberSketch, 'name'>,
): Promise<readonly ClusteredReplica[]> {
  const port = await freePort()
  const peers = [`127.0.0.1:${port}`, ...(sketch.peers ?? [])]
  const all = await Promise.all(
    names.map((name, i) => ClusteredReplica.start({ ...sketch, name, peers, ...(i === 0 ? { port } : {}) })),
  )
  await Promise.all(all.map(one => one.agreesWith(names.length)))
  return all
}

/** Stops all; each must exit with 0. */
export async function stopAll(members: readonly ClusteredReplica[]): Promise<void> {
  const ends = await Promise.all(members.map(({ replica }) => replica.stop()))
  for (const [i, { code, out, err }] of ends.entries())
    if (code !== 0) throw new Error(`${members[i]?.name} ended with ${code}: ${out.slice(-2000)}${err}`)
}

/** Sends a GET through each until it answers 200. */
export async function allServe(members: readonly ClusteredReplica[], host: string): Promise<void> {
  for (const { replica } of members) await replica.answers(host, 200)
}
