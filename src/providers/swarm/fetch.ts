// Reads the swarm from the current manager: events say when to look at services, nodes and networks; tasks make no events and
// are polled, fast while anything changes and slowly at rest. A read that fails or is stale changes nothing but the manager.
// Spec: design, section 5 (fetch).

import type { Logger } from 'pino'
import type { CallError, CallResult, DockerClient } from './docker-client.ts'
import { watchManagerEvents } from './events.ts'
import type { Inventory, InventoryRead } from './inventory.ts'
import type { CurrentManager, ManagerPool } from './managers.ts'
import type { DockerEvent, DockerNode, ListResult } from './schemas.ts'
import { createVersions, type Versioned } from './versions.ts'

export interface FetcherOptions {
  readonly pool: ManagerPool
  readonly inventory: Inventory
  readonly pollRestMs: number
  readonly pollBusyMs: number
  readonly log: Logger
  /** Called after every read that was accepted. */
  readonly accepted: () => void
}

export interface Fetcher {
  /** Look at once: the manager has changed. */
  managerChanged(): void
  start(): void
  /** Resolves when nothing is running any more. */
  stop(): Promise<void>
  /** performance.now() of the last accepted read; null: none yet. */
  lastSuccess(): number | null
  lastError(): string | null
}

/** After an event things are expected to change for so long, ms. */
const EVENT_BUSY_MS = 10_000
/** Services, networks and nodes are read so often even without an event, ms. */
const SAFETY_MS = 30_000
/**
 * A read that takes longer than this may hang: a cheap question is asked beside it, and that one must be answered within the
 * same time, ms.
 */
const SLOW_MS = 1_000
/** A swarm whose every manager is "stale" for so long has itself gone back (restored from a backup), ms. */
const RESTORED_MS = 60_000
/** Beyond so many changing services all tasks are read at once. */
const MOST_SCOPED = 20
/** Draining tasks asked for by id in one read. */
const MOST_DRAINING = 100
/** So often in a row a manager may say that what was asked about is gone; after that it is not believed to be well. */
const MOST_GONE = 3
/** Reads in a second, at most, however many events come; the first ones are made at once. */
const MOST_READS = 10
/** Services not known yet that events may name; it is the events' word only. */
const MOST_HOT = 1_000
/** Problems remembered so that each is told once. */
const MOST_REPORTED = 1_000

type Subject = 'services' | 'networks' | 'nodes' | 'tasks'
const SUBJECTS: readonly Subject[] = ['services', 'networks', 'nodes', 'tasks']

interface Plan {
  readonly due: ReadonlySet<Subject>
  /** Services whose tasks are read when `tasks` is not due as a whole; empty: none. */
  readonly scope: readonly string[]
  readonly draining: readonly string[]
}

export function createFetcher(options: FetcherOptions): Fetcher {
  const { pool, inventory, log } = options
  const versions = createVersions()
  const readAt = new Map<Subject, number>()
  const wanted = new Set<Subject>(SUBJECTS)
  const hot = new Map<string, number>()
  let allHotUntil = 0
  let staleSince: number | null = null
  let lastSuccess: number | null = null
  let lastError: string | null = null
  let failures = 0
  let incompleteReads = 0
  let goneReads = 0
  let stopped = false
  let wake: () => void = () => undefined
  let running: Promise<void> = Promise.resolve()
  let switched = Promise.withResolvers<'switched'>()
  const reported = new Set<string>()
  const starts: number[] = []

  const events = watchManagerEvents({ pool, log, event: onEvent, reopened: () => want('services', 'networks', 'nodes', 'tasks') })

  function want(...subjects: Subject[]): void {
    for (const subject of subjects) wanted.add(subject)
    wake()
  }

  function onEvent(event: DockerEvent): void {
    const until = performance.now() + EVENT_BUSY_MS
    if (event.Type === 'service') {
      if (hot.size < MOST_HOT || inventory.services().has(event.Actor.ID)) hot.set(event.Actor.ID, until)
      want('services', 'tasks')
    } else if (event.Type === 'node') {
      allHotUntil = until
      want('nodes', 'tasks')
    } else want('networks')
  }

  function plan(now: number): Plan {
    const due = new Set(wanted)
    for (const subject of ['services', 'networks', 'nodes'] as const) if (elapsed(subject, now) >= SAFETY_MS) due.add(subject)
    if (elapsed('tasks', now) >= options.pollRestMs - 10) due.add('tasks')
    for (const [id, until] of hot) if (until < now) hot.delete(id)
    // Docker answers 404 when a filter names a service that does not exist (any more).
    const known = inventory.services()
    const busy = [...new Set([...inventory.busyServices(now), ...hot.keys()])].filter(id => known.has(id))
    if (allHotUntil > now || busy.length > MOST_SCOPED) due.add('tasks')
    const atRest = due.has('tasks')
    return { due, scope: atRest ? [] : busy, draining: inventory.draining(now, atRest).slice(0, MOST_DRAINING) }
  }

  function elapsed(subject: Subject, now: number): number {
    return now - (readAt.get(subject) ?? -Infinity)
  }

  /** How long to wait for the next look, ms. */
  function pause(now: number): number {
    if (failures > 0) return Math.min(options.pollBusyMs * failures, 1_000)
    const busy = allHotUntil > now || hot.size > 0 || inventory.busyServices(now).length > 0
    return busy ? options.pollBusyMs : Math.max(options.pollRestMs - elapsed('tasks', now), 20)
  }

  async function loop(): Promise<void> {
    while (!stopped) {
      const current = pool.current()
      if (current !== null) await readSafely(current)
      if (stopped) return
      const now = performance.now()
      await sleep(current === null ? 1_000 : Math.max(wanted.size > 0 && failures === 0 ? 20 : pause(now), breath(now)))
    }
  }

  /** How long the next read must wait so that a storm of events does not become one of reads, ms. */
  function breath(now: number): number {
    const most = Math.max(MOST_READS, Math.ceil(2_000 / options.pollBusyMs))
    while (starts.length > 0 && now - (starts[0] ?? 0) >= 1_000) starts.shift()
    return starts.length < most ? 0 : 1_000 - (now - (starts[0] ?? 0))
  }

  function sleep(ms: number): Promise<void> {
    return new Promise(resolve => {
      const timer = setTimeout(done, ms)
      function done(): void {
        clearTimeout(timer)
        wake = () => undefined
        resolve()
      }
      // Events come in bursts: those that arrive within a few milliseconds are one read.
      wake = () => {
        wake = () => undefined
        clearTimeout(timer)
        setTimeout(done, Math.max(failures > 0 ? 100 : 10, breath(performance.now())))
      }
    })
  }

  /** A big answer may take long without anything being wrong; only when a small one does not come either, the manager hangs. */
  function watchForHang(current: CurrentManager): { end(): void } {
    let over = false
    let timer = setTimeout(() => {
      void current.client.nodes('manager').then(result => {
        if (result.ok) clearTimeout(timer)
      })
      timer = setTimeout(() => {
        if (!over) pool.failed(current.key, { kind: 'slow', message: `no answer within ${2 * SLOW_MS} ms` })
      }, SLOW_MS)
    }, SLOW_MS)
    return {
      end() {
        over = true
        clearTimeout(timer)
      },
    }
  }

  /** A defect that some answer brings to light must end neither the watch nor the process. */
  async function readSafely(current: CurrentManager): Promise<void> {
    try {
      await readOnce(current)
    } catch (error) {
      failures++
      lastError = `a defect in Skein: ${error instanceof Error ? error.message : String(error)}`
      log.error(
        { manager: current.key, err: error },
        'what the manager answered could not be taken over; the configuration stays as it was',
      )
    }
  }

  async function readOnce(current: CurrentManager): Promise<void> {
    events.follow(current)
    const now = performance.now()
    starts.push(now)
    const chosen = plan(now)
    wanted.clear()
    const doubt = watchForHang(current)
    const stop = new AbortController()
    const result = await Promise.race([read(current.client, chosen, stop), switched.promise])
    stop.abort()
    doubt.end()
    if (stopped) return
    // Whatever the manager before has still to say is of no interest.
    if (result === 'switched' || pool.current()?.key !== current.key) return again(chosen)
    if (!result.ok && result.error.kind === 'gone' && chosen.scope.length > 0 && goneReads < MOST_GONE) {
      // A service was removed since it was last seen; the manager is right and our list is old.
      goneReads++
      hot.clear()
      want('services', 'tasks')
      return
    }
    if (!result.ok) {
      failures++
      lastError = `${current.key}: ${result.error.message}`
      again(chosen)
      pool.failed(current.key, result.error)
      return
    }
    const { read: found, objects, problems } = result.value
    if (isStranger(found)) {
      failures++
      const message = '/nodes: expected at least one manager'
      lastError = `${current.key}: ${message}`
      again(chosen)
      pool.failed(current.key, { kind: 'bad-answer', message })
      return
    }
    const stale = versions.stale(objects)
    if (stale !== null && !restored(performance.now())) {
      failures++
      lastError = `${current.key}: stale: ${stale}`
      again(chosen)
      pool.failed(current.key, { kind: 'stale', message: `lags behind: ${stale}` })
      return
    }
    if (stale !== null) {
      versions.reset()
      log.warn(
        { manager: current.key },
        'every manager has been behind what was seen before for a minute: the swarm itself was set back; following it',
      )
    }
    if (isSudden(found)) return want(...SUBJECTS)
    accept(current, chosen, found, objects, problems, now)
  }

  /** No manager among the nodes and no service either, or none any more: empty lists are what anything that speaks JSON may answer. */
  function isStranger({ nodes, services }: InventoryRead): boolean {
    if (nodes === undefined || nodes.some(isManager) || (services?.items.length ?? 0) > 0) return false
    return services !== undefined || [...inventory.nodes().values()].some(isManager)
  }

  /**
   * All tasks gone at once is possible, but more likely the answer of something that is no manager (any more): only a read that
   * shows the swarm's nodes too is believed.
   */
  function isSudden({ tasks, nodes }: InventoryRead): boolean {
    if (tasks === undefined || tasks.scope !== null || nodes !== undefined) return false
    return tasks.items.length === 0 && inventory.activeTasks().length > 0
  }

  function accept(
    current: CurrentManager,
    chosen: Plan,
    found: InventoryRead,
    objects: readonly Versioned[],
    problems: readonly string[],
    startedAt: number,
  ): void {
    const now = performance.now()
    versions.accept(objects, now)
    staleSince = null
    failures = 0
    goneReads = 0
    lastError = null
    lastSuccess = now
    for (const subject of chosen.due) readAt.set(subject, startedAt)
    const before = inventory.draining(now, true).length
    inventory.apply(found, now)
    if (inventory.draining(now, true).length > before) wake()
    if (inventory.incomplete()) {
      // A task may name what was made between two reads of one fetch; ask once more, then leave it to events and the safety net.
      if (incompleteReads++ < 3) want('services', 'nodes')
    } else incompleteReads = 0
    if (inventory.busyServices(now).length > 0 && elapsed('services', now) > 5_000) wanted.add('services')
    report(problems)
    pool.answered(current.key)
    if (found.nodes !== undefined) pool.observe(found.nodes)
    options.accepted()
  }

  function again(chosen: Plan): void {
    for (const subject of chosen.due) wanted.add(subject)
    if (chosen.scope.length > 0) wanted.add('tasks')
  }

  /** True when what looks stale must be believed. */
  function restored(now: number): boolean {
    staleSince ??= now
    return now - staleSince >= RESTORED_MS
  }

  function report(problems: readonly string[]): void {
    const fresh = [...new Set(problems)].filter(problem => !reported.has(problem)).slice(0, 10)
    if (fresh.length === 0) return
    if (reported.size > MOST_REPORTED) reported.clear()
    for (const problem of fresh) reported.add(problem)
    log.warn({ problems: fresh }, 'objects of the swarm that cannot be read were left out')
  }

  return {
    managerChanged() {
      switched.resolve('switched')
      switched = Promise.withResolvers<'switched'>()
      failures = 0
      want('services', 'networks', 'nodes', 'tasks')
    },
    start() {
      running = loop()
    },
    async stop() {
      stopped = true
      events.stop()
      switched.resolve('switched')
      wake()
      await running
    },
    lastSuccess: () => lastSuccess,
    lastError: () => lastError,
  }
}

function isManager(node: DockerNode): boolean {
  return node.Spec.Role === 'manager'
}

interface Fetched {
  readonly read: InventoryRead
  readonly objects: readonly Versioned[]
  readonly problems: readonly string[]
}

/**
 * One fetch: all that is due in parallel; it counts as a whole or not at all. When one part fails the others are given up at once:
 * what a bad manager still has to send may be large.
 */
async function read(client: DockerClient, { due, scope, draining }: Plan, stop: AbortController): Promise<CallResult<Fetched>> {
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
  // Networks are never changed, only made and removed, and their answer carries no index.
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
