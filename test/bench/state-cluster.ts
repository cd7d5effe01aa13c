// Three replicas with one data worker each, in one cluster that shares the sessions of one service.

import { BenchReplica, startAll } from './cluster-replicas.ts'
import { LEARN_LABELS, LEARNED_HOST, type Place, startWorld, type World } from './state-world.ts'

export const REPLICAS = 3
/** So many servers that a replica without a session's entry rarely chooses its server by chance. */
export const SERVERS = 24

export interface SessionCluster {
  readonly replicas: readonly BenchReplica[]
  readonly world: World
  stop(): Promise<void>
}

/** `more`: further arguments of each replica's command line. */
export async function startSessionCluster(place: Place, name: string, more: readonly string[] = []): Promise<SessionCluster> {
  const started = await startWorld(place, SERVERS, [LEARN_LABELS])
  const world = { ...started, setting: { ...started.setting, more: [...(started.setting.more ?? []), ...more] } }
  const replicas: BenchReplica[] = []
  const stop = async (): Promise<void> => {
    await Promise.all(replicas.map(replica => replica.stop()))
    await world.stop()
  }
  try {
    while (replicas.length < REPLICAS) replicas.push(await BenchReplica.create(`${name}${replicas.length + 1}`, world.setting))
    await startAll(replicas, true, LEARNED_HOST)
  } catch (error) {
    await stop()
    throw error
  }
  return { replicas, world, stop }
}
