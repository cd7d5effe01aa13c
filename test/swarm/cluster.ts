// The cluster of replicas as the lab sees it: the reports of each member's admin API, and the leader over time. The requests come
// from inside the containers' networks, the only place where that API listens; a replica whose Docker daemon is dead answers too.

import type { ChildProcess } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import type { ClusterReport } from '../../src/admin/admin-source.ts'
import { until } from '../until.ts'
import { adminPage, spawnInside } from './inside.ts'
import { askContainer, containerOn, fetchAdmin, REPLICA } from './stack.ts'
import { EDGES, type LabNode, nodeNamed } from './topology.ts'

/** The leader as one replica reports it, at one moment. */
export interface View {
  /** The replica's member id, which changes with a restart. */
  readonly self: string
  readonly role: 'leader' | 'follower'
  readonly leader: { readonly id: string; readonly name: string } | null
  readonly term: number
}

export interface Leader {
  readonly node: LabNode
  readonly id: string
  readonly term: number
}

const POLL_MS = 40
/** A replica without an answer for this time (ms) counts as hanging. */
const SILENCE_MS = 400
const WHOLE_MS = 60_000

export function clusterOf(edge: LabNode): Promise<ClusterReport> {
  return fetchAdmin<ClusterReport>(edge, '/api/cluster')
}

/** The leader as a result shows it: `e1 (term 4)`. */
export function describe(leader: { readonly name: string } | null, term: number): string {
  return `${leader?.name ?? 'no leader'} (term ${term})`
}

/** Waits until all edges are members, follow one leader, serve its revision and relay nothing; resolves with the leader. */
export async function waitForCluster(edges: readonly LabNode[] = EDGES): Promise<Leader> {
  return until(
    'one whole cluster',
    async () => {
      const reports = await Promise.all(edges.map(clusterOf))
      const [first] = reports
      if (first?.leader === null || first === undefined) throw new Error('there is no leader')
      for (const report of reports) {
        const alive = report.members.filter(member => member.state === 'alive')
        if (alive.length !== edges.length) throw new Error(`${report.name} sees ${alive.length} of ${edges.length} members alive`)
        if (report.leader?.id !== first.leader.id) throw new Error(`${report.name} follows ${report.leader?.name ?? 'no leader'}`)
        if (report.hash === null || report.hash !== first.hash) throw new Error(`${report.name} serves another configuration`)
        if (report.relaying.length > 0) throw new Error(`${report.name} relays ${report.relaying.length} services`)
      }
      return { node: nodeNamed(first.leader.name), id: first.leader.id, term: first.term.number }
    },
    WHOLE_MS,
    { everyMs: 250 },
  )
}

/** Replicas by node, with the process whose network is used, which stays valid when the node's Docker daemon is dead. */
export type Replicas = ReadonlyMap<LabNode, { readonly id: string; readonly pid: number }>

export async function replicasOn(edges: readonly LabNode[]): Promise<Replicas> {
  return new Map(await Promise.all(edges.map(async edge => [edge, await containerOn(edge, REPLICA)] as const)))
}

/** The leader as each replica sees it, once if they agree; replicas without an answer are left out. */
export async function whoLeads(replicas: Replicas): Promise<string> {
  const views = await Promise.all(
    [...replicas].map(async ([edge, before]) => {
      const { pid } = await containerOn(edge, REPLICA).catch(() => before)
      return askContainer<ClusterReport>(pid, '/api/cluster').catch(() => null)
    }),
  )
  const reported = views.filter(view => view !== null).map(view => describe(view.leader, view.term.number))
  return [...new Set(reported)].join(' and ')
}

/**
 * Polls the leader that each of some replicas reports, every POLL_MS. It follows processes, not nodes: a replica that Swarm restarts
 * is not watched. The caller must close it.
 */
export class LeaderWatch {
  private readonly children = new Map<LabNode, ChildProcess>()
  private readonly views = new Map<LabNode, View | null>()
  private readonly waiting = new Set<(atMs: number) => void>()

  /** Resolves once every replica has answered. */
  static async open(replicas: Replicas): Promise<LeaderWatch> {
    const watch = new LeaderWatch()
    for (const [edge, { pid }] of replicas) watch.follow(edge, pid)
    try {
      await until('a view of every replica', () => [...replicas.keys()].every(edge => watch.view(edge) !== null), 10_000, {
        everyMs: 100,
      })
    } catch (error) {
      watch.close()
      throw error
    }
    return watch
  }

  /** The latest report of a replica; null if it does not answer. */
  view(edge: LabNode): View | null {
    return this.views.get(edge) ?? null
  }

  /** Resolves with the time (ms since the epoch) at which the condition became true. @throws after `timeoutMs`, with all reports */
  async when(what: string, timeoutMs: number, condition: (watch: LeaderWatch) => boolean): Promise<number> {
    if (condition(this)) return Date.now()
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.waiting.delete(look)
        reject(new Error(`waited ${timeoutMs} ms for ${what}; ${this.describe()}`))
      }, timeoutMs)
      const look = (atMs: number): void => {
        if (!condition(this)) return
        clearTimeout(timer)
        this.waiting.delete(look)
        resolve(atMs)
      }
      this.waiting.add(look)
    })
  }

  describe(): string {
    return [...this.views]
      .map(([edge, view]) => `${edge.name}: ${view === null ? 'no answer' : describe(view.leader, view.term)}`)
      .join(', ')
  }

  close(): void {
    for (const child of this.children.values()) if (child.connected) child.disconnect()
    this.children.clear()
  }

  private follow(edge: LabNode, pid: number): void {
    const child = spawnInside(pid, import.meta.filename)
    this.children.set(edge, child)
    this.views.set(edge, null)
    child.on('message', ({ view, atMs }: Sighting) => {
      this.views.set(edge, view)
      for (const look of [...this.waiting]) look(atMs)
    })
  }
}

/** Whether all of these replicas follow the same leader, and it is not `not`. */
export function agree(watch: LeaderWatch, edges: readonly LabNode[], not: string | null = null): boolean {
  const ids = new Set(edges.map(edge => watch.view(edge)?.leader?.id ?? null))
  return ids.size === 1 && !ids.has(null) && !ids.has(not)
}

interface Sighting {
  readonly view: View | null
  readonly atMs: number
}

async function look(): Promise<View | null> {
  const report = await adminPage<ClusterReport>('/api/cluster', SILENCE_MS)
  return report === null ? null : viewOf(report)
}

function viewOf({ self, role, leader, term }: ClusterReport): View {
  return { self, role, leader, term: term.number }
}

/** The loop of the child process: sends every changed report until the parent ends. */
async function watchOne(): Promise<void> {
  process.on('disconnect', () => process.exit(0))
  let last = ''
  for (;;) {
    const view = await look()
    const text = JSON.stringify(view)
    if (text !== last) process.send?.({ view, atMs: Date.now() } satisfies Sighting)
    last = text
    await delay(POLL_MS)
  }
}

if (import.meta.main) void watchOne()
