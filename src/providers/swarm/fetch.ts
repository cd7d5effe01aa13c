// Reads the swarm from the current manager: events say when to look at services, nodes and networks; tasks make no events and
// are polled, fast while anything changes and slowly at rest. A read that fails or is stale changes nothing but the manager.
// A replica that only listens has the event stream and nothing else. Spec: design, section 5 (fetch).

import type { Logger } from 'pino'
import type { DockerEvent, DockerNode } from '../docker-api/schemas.ts'
import type { ProviderMode } from '../shared/provider.ts'
import { createEventGapDetector } from './event-gaps.ts'
import { watchManagerEvents } from './events.ts'
import { type Plan, read, SUBJECTS, type Subject } from './fetch-round.ts'
import type { Inventory, InventoryRead } from './inventory.ts'
import type { CurrentManager, ManagerPool } from './managers.ts'
import { createPollLimiter } from './poll-limiter.ts'
import { createStalenessDetector, type Versioned } from './staleness.ts'

export interface FetcherOptions {
  readonly pool: ManagerPool
  readonly inventory: Inventory
  readonly pollRestMs: number
  readonly pollBusyMs: number
  readonly log: Logger
  /** Called after every read that was accepted. */
  readonly accepted: () => void
  /** Key of an event that the manager has just told. */
  readonly saw: (key: string) => void
}

export interface Fetcher {
  /** Look at once: the manager has changed. */
  managerChanged(): void
  start(): void
  /** Resolves when nothing is running any more. */
  stop(): Promise<void>
  /**
   * To `read`: everything is read anew, at once; what was known is forgotten. To `listen`: whatever is being asked is given up.
   */
  setMode(mode: ProviderMode): void
  /** The event stream of this manager is open. */
  isListening(key: string): boolean
  /** Others have seen these events. */
  hint(keys: readonly string[]): void
  /** performance.now() of the last accepted read since this replica reads; null: none yet, or it does not read. */
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
const MAX_SCOPED = 20
/** Draining tasks asked for by id in one read. */
const MAX_DRAINING = 100
/** So often in a row a manager may say that what was asked about is gone; after that it is not believed to be well. */
const MAX_GONE = 3
/** Services not known yet that events may name; it is the events' word only. */
const MAX_HOT = 1_000
/** A broken event stream is opened again after so long at most, ms; that of a replica that has nothing else, sooner. */
const REOPEN_MOST_MS = 15_000
const REOPEN_LISTEN_MS = 2_000
/** Problems remembered so that each is told once. */
const MAX_REPORTED = 1_000

export function createFetcher(options: FetcherOptions): Fetcher {
  const { pool, inventory, log } = options
  const versions = createStalenessDetector()
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
  let running: Promise<void> = Promise.resolve()
  let switched = Promise.withResolvers<'switched'>()
  const reported = new Set<string>()

  let mode: ProviderMode = 'read'
  /** Of reading: what was asked for in an earlier one is of no interest. */
  let spell = 0
  const hearing = createEventGapDetector()
  const pace = createPollLimiter(options.pollBusyMs)
  const events = watchManagerEvents({
    log,
    event: onEvent,
    opened: key => (mode === 'listen' ? pool.answered(key) : want(...SUBJECTS)),
    quiet: key => pool.doubt(key, 'the agent has fallen silent'),
    ended: (key, reason) => {
      if (mode === 'listen') pool.failed(key, { kind: 'unreachable', message: reason })
      else pool.doubt(key, reason)
    },
    retryMostMs: () => (mode === 'listen' ? REOPEN_LISTEN_MS : REOPEN_MOST_MS),
  })

  function want(...subjects: Subject[]): void {
    for (const subject of subjects) wanted.add(subject)
    if (mode === 'read') pace.wake(failures > 0)
  }

  function onEvent(event: DockerEvent): void {
    const now = performance.now()
    const key = hearing.hear(event, now)
    if (key !== null) options.saw(key)
    const until = now + EVENT_BUSY_MS
    if (event.Type === 'service') {
      if (hot.size < MAX_HOT || inventory.services().has(event.Actor.ID)) hot.set(event.Actor.ID, until)
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
    if (allHotUntil > now || busy.length > MAX_SCOPED) due.add('tasks')
    const atRest = due.has('tasks')
    return { due, scope: atRest ? [] : busy, draining: inventory.draining(now, atRest).slice(0, MAX_DRAINING) }
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
      if (mode === 'listen') events.follow(current)
      else if (current !== null) await readSafely(current)
      if (stopped) return
      const now = performance.now()
      if (current === null || mode === 'listen') await pace.sleep(1_000)
      else await pace.sleep(Math.max(wanted.size > 0 && failures === 0 ? 20 : pause(now), pace.breath(now)))
    }
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
    const begun = spell
    pace.began(now)
    const chosen = plan(now)
    wanted.clear()
    const doubt = watchForHang(current)
    const stop = new AbortController()
    const result = await Promise.race([read(current.client, chosen, stop), switched.promise])
    stop.abort()
    doubt.end()
    if (stopped) return
    // Whatever the manager before has still to say is of no interest.
    if (result === 'switched' || begun !== spell || pool.current()?.key !== current.key) return again(chosen)
    if (!result.ok && result.error.kind === 'gone' && chosen.scope.length > 0 && goneReads < MAX_GONE) {
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
    const stale = isOtherSwarm(found) ? 'not one of the nodes is known: another swarm' : versions.stale(objects)
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

  /**
   * No manager among the nodes and no service either, or none any more: empty lists are what anything that speaks JSON may
   * answer.
   */
  function isStranger({ nodes, services }: InventoryRead): boolean {
    if (nodes === undefined || nodes.some(isManager) || (services?.items.length ?? 0) > 0) return false
    return services !== undefined || [...inventory.nodes().values()].some(isManager)
  }

  function isOtherSwarm({ nodes }: InventoryRead): boolean {
    const known = inventory.nodes()
    return nodes !== undefined && known.size > 0 && !nodes.some(({ ID }) => known.has(ID))
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
    if (inventory.draining(now, true).length > before) pace.wake(false)
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

  /** What is being asked is of no interest any more; everything has to be read anew. */
  function giveUp(): void {
    switched.resolve('switched')
    switched = Promise.withResolvers<'switched'>()
    failures = 0
    want(...SUBJECTS)
  }

  /** From now on a manager is well when its event stream is. */
  function listen(): void {
    const current = pool.current()
    if (current !== null && events.isOpen(current.key)) pool.answered(current.key)
    else if (current !== null) events.reopen()
    events.follow(current)
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
    if (reported.size > MAX_REPORTED) reported.clear()
    for (const problem of fresh) reported.add(problem)
    log.warn({ problems: fresh }, 'objects of the swarm that cannot be read were left out')
  }

  return {
    managerChanged() {
      hearing.reset()
      giveUp()
      if (mode === 'listen') events.follow(pool.current())
    },
    setMode(next) {
      if (mode === next) return
      mode = next
      spell++
      lastSuccess = null
      lastError = null
      pool.setMode(next)
      giveUp()
      if (next === 'listen') listen()
      else {
        // Tasks of last time's that have ended since would be taken for draining ones. What was seen of versions stays true.
        inventory.reset()
        readAt.clear()
        reported.clear()
        staleSince = null
        incompleteReads = 0
      }
    },
    hint(keys) {
      const current = pool.current()
      if (mode !== 'read' || current === null || stopped) return
      const verdict = hearing.hint(keys, performance.now())
      log.debug({ manager: current.key, keys, verdict }, 'another replica has seen events')
      want(...SUBJECTS)
      if (verdict === 'missed') events.reopen()
      if (verdict !== 'deaf') return
      hearing.reset()
      pool.failed(current.key, { kind: 'stale', message: 'it does not tell of events that other replicas hear of' })
    },
    isListening: key => events.isOpen(key),
    start() {
      running = loop()
    },
    async stop() {
      stopped = true
      events.follow(null)
      switched.resolve('switched')
      pace.wake(false)
      await running
    },
    lastSuccess: () => lastSuccess,
    lastError: () => lastError,
  }
}

function isManager(node: DockerNode): boolean {
  return node.Spec.Role === 'manager'
}
