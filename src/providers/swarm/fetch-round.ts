// One read of the swarm: all due lists in parallel. It succeeds or fails as a whole.

import type { CallError, CallResult, DockerClient } from '../docker-api/client.ts'
import type { ListResult } from '../docker-api/schemas.ts'
import type { InventoryRead } from './inventory.ts'
import type { Versioned } from './staleness.ts'

export type Subject = 'services' | 'networks' | 'nodes' | 'tasks'
export const SUBJECTS: readonly Subject[] = ['services', 'networks', 'nodes', 'tasks']

export interface Plan {
  readonly due: ReadonlySet<Subject>
  /** Services whose tasks are read when `tasks` is not due; empty: none. */
  readonly scope: readonly string[]
  /** Ids of draining tasks to read. */
  readonly draining: readonly string[]
}

export interface Fetched {
  readonly read: InventoryRead
  readonly objects: readonly Versioned[]
  readonly problems: readonly string[]
}

/** A failed part aborts the others, because the rest of a bad answer may be large. */
export async function fetchRound(
  client: DockerClient,
  { due, scope, draining }: Plan,
  stop: AbortController,
): Promise<CallResult<Fetched>> {
  const wholeTasks = due.has('tasks')
  const running = { 'desired-state': ['running'] }
  const { signal } = stop
  let failure: CallError | null = null
  const part = async <T>(call: Promise<CallResult<T>> | null): Promise<CallResult<T> | null> => {
    const result = await call
    if (result !== null && !result.ok) {
      failure ??= result.error
      stop.abort()
    }
    return result
  }
  const [services, networks, nodes, tasks, drained] = await Promise.all([
    part(due.has('services') ? client.services(signal) : null),
    part(due.has('networks') ? client.networks(signal) : null),
    part(due.has('nodes') ? client.nodes(null, signal) : null),
    part(
      wholeTasks ? client.tasks(running, signal) : scope.length > 0 ? client.tasks({ ...running, service: scope }, signal) : null,
    ),
    part(draining.length > 0 ? client.tasks({ id: draining }, signal) : null),
  ])
  if (failure !== null) return { ok: false, error: failure }
  const objects: Versioned[] = []
  const problems: string[] = []
  for (const [path, result] of Object.entries({ services, networks, nodes, tasks, drained })) {
    if (result?.ok) problems.push(...result.value.problems.map(problem => `${path === 'drained' ? 'tasks' : path}: ${problem}`))
  }
  // Networks do not change, and their answer carries no index.
  for (const result of [services, nodes, tasks, drained]) if (result?.ok) objects.push(...result.value.items)
  const found: InventoryRead = {
    ...(services?.ok ? { services: services.value } : {}),
    ...(networks?.ok ? { networks: networks.value.items } : {}),
    ...(nodes?.ok ? { nodes: nodes.value.items } : {}),
    ...(tasks?.ok ? { tasks: { ...listOf(tasks.value), scope: wholeTasks ? null : scope } } : {}),
    ...(drained?.ok ? { drained: { asked: draining, ...listOf(drained.value) } } : {}),
  }
  return { ok: true, value: { read: found, objects, problems } }
}

function listOf<T>({ items, skipped }: ListResult<T>): { items: readonly T[]; skipped: readonly string[] } {
  return { items, skipped }
}
