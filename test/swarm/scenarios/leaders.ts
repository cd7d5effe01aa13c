// The leading replica is killed, hangs, loses its manager, or dies together with it. Another one must lead soon, new configuration
// must be served, and no request through the other edges may fail.

import { until } from '../../until.ts'
import { agree, LeaderWatch } from '../cluster.ts'
import { killNode } from '../engine.ts'
import { fetchAdmin } from '../stack.ts'
import { type LabNode, MANAGERS, nodeNamed } from '../topology.ts'
import {
  deployAndRoute,
  edgesBut,
  type Figures,
  ON_WORKERS,
  observe,
  PromiseBroken,
  type Scenario,
  type Scene,
} from './contract.ts'

/** Promised limits: a crash closes connections, a hang is detected by missing heartbeats only. */
const AFTER_CRASH_MS = 1000
const AFTER_HANG_MS = 2000
/** Time limit of waits, longer than the promised limits, so that a late leader is reported with its time. */
const PATIENCE_MS = 20_000

/** Sends SIGKILL or SIGSTOP to the leading replica's process; returns the time (ms since the epoch). */
function strike(scene: Scene, signal: NodeJS.Signals): number {
  const replica = scene.replicas.get(scene.leader.node)
  if (replica === undefined) throw new Error(`no replica on ${scene.leader.node.name}`)
  process.kill(replica.pid, signal)
  return Date.now()
}

/** Runs `work` with a watch on all replicas that existed when the load began. */
async function watching<T>(scene: Scene, work: (watch: LeaderWatch) => Promise<T>): Promise<T> {
  const watch = await LeaderWatch.open(scene.replicas)
  try {
    return await work(watch)
  } finally {
    watch.close()
  }
}

/** The time from `since` until the survivors follow another leader. */
async function newLeader(scene: Scene, watch: LeaderWatch, since: number): Promise<number> {
  const survivors = edgesBut(scene.leader.node)
  return (await watch.when('a new leader', PATIENCE_MS, () => agree(watch, survivors, scene.leader.id))) - since
}

/** @throws PromiseBroken if the new leader was elected too late */
function within(boundMs: number, figures: Figures & { readonly newLeaderMs: number }): Figures {
  if (figures.newLeaderMs <= boundMs) return figures
  throw new PromiseBroken(`a new leader after ${figures.newLeaderMs} ms; at most ${boundMs} ms is promised`, figures)
}

export const killEdgeLeader: Scenario = {
  name: 'kill-edge-leader',
  promise:
    `the leading replica gets SIGKILL: another leads within ${AFTER_CRASH_MS} ms (newLeaderMs), a service deployed ` +
    'at that moment is routed by the others (routeReadyMs), and no request through them fails',
  backend: { replicas: 4 },
  posts: true,
  edges: leader => edgesBut(leader),
  harm: scene =>
    watching(scene, async watch => {
      const struckAt = strike(scene, 'SIGKILL')
      const [newLeaderMs, routed] = await Promise.all([newLeader(scene, watch, struckAt), deployAndRoute(scene, 'chaos-new')])
      return within(AFTER_CRASH_MS, { newLeaderMs, ...routed })
    }),
}

export const hangEdgeLeader: Scenario = {
  name: 'hang-edge-leader',
  promise:
    `the leading replica gets SIGSTOP for 8 s, then SIGCONT: another leads within ${AFTER_HANG_MS} ms (newLeaderMs), ` +
    'the old one follows it when it resumes (steppedDownMs); no request fails, not even those that it held meanwhile',
  backend: { replicas: 4 },
  posts: false,
  harm: scene =>
    watching(scene, async watch => {
      const old = scene.leader.node
      const struckAt = strike(scene, 'SIGSTOP')
      let wokeAt = 0
      try {
        const newLeaderMs = await newLeader(scene, watch, struckAt)
        // Shorter than Docker's health check (five times 10 s), after which Swarm would replace the replica.
        await observe(Math.max(0, 8000 - newLeaderMs))
        return within(AFTER_HANG_MS, { newLeaderMs, ...(await stepDown()) })
      } finally {
        if (wokeAt === 0) strike(scene, 'SIGCONT')
      }

      async function stepDown(): Promise<Figures> {
        const successor = watch.view(edgesBut(old)[0] ?? old)?.leader?.id
        wokeAt = strike(scene, 'SIGCONT')
        const all = [...scene.replicas.keys()]
        const at = await watch.when('the old leader to follow', PATIENCE_MS, () => {
          return watch.view(old)?.role === 'follower' && agree(watch, all, scene.leader.id)
        })
        await observe(scene.short ? 1000 : 3000)
        const stayed = watch.view(old)?.leader?.id === successor
        return { steppedDownMs: at - wokeAt, successorStayed: stayed }
      }
    }),
}

/** The manager that the leader reads from. */
export async function managerOf(leader: LabNode): Promise<LabNode> {
  return until(
    'the manager that the leader reads from',
    async () => {
      const [status] = await fetchAdmin<{ managers: { current: boolean; hostname: string | null }[] }[]>(leader, '/api/managers')
      const name = status?.managers.find(manager => manager.current)?.hostname
      return name === null || name === undefined ? null : nodeNamed(name)
    },
    10_000,
    { everyMs: 100 },
  )
}

export const killLeadersManager: Scenario = {
  name: 'kill-leaders-manager',
  promise:
    'the node of the manager that the leading replica reads from dies; a service deployed through a survivor is ' +
    'routed (routeReadyMs); no request fails',
  backend: { replicas: 4 },
  posts: false,
  partOf: 'flap',
  async harm(scene) {
    const victim = await managerOf(scene.leader.node)
    await killNode(victim)
    const survivors = MANAGERS.filter(manager => manager !== victim)
    return { killed: victim.name, ...(await deployAndRoute(scene, 'chaos-new', survivors)) }
  },
}

export const killLeaderAndItsManager: Scenario = {
  name: 'kill-leader-and-its-manager-together',
  promise:
    'the leading replica and the node of the manager that it reads from die at once: another leads within ' +
    `${AFTER_CRASH_MS} ms, a service deployed through a survivor is routed by the others; no request through them ` +
    'fails',
  backend: { replicas: 4, constraints: ON_WORKERS },
  posts: true,
  edges: leader => edgesBut(leader),
  harm: scene =>
    watching(scene, async watch => {
      const victim = await managerOf(scene.leader.node)
      const survivors = MANAGERS.filter(manager => manager !== victim)
      const dead = killNode(victim)
      const struckAt = strike(scene, 'SIGKILL')
      const newLeaderMs = await newLeader(scene, watch, struckAt)
      await dead
      return within(AFTER_CRASH_MS, {
        killed: victim.name,
        newLeaderMs,
        ...(await deployAndRoute(scene, 'chaos-new', survivors)),
      })
    }),
}
