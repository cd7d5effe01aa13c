// Reads the swarm from the current manager. Events trigger reads of services, nodes and networks. Tasks cause no events and are
// polled, fast while anything changes and slowly otherwise. A failed or stale read changes nothing but the choice of the
// manager. A replica in mode `listen` only keeps the event stream open.

import type { Logger } from 'pino'
import type { DockerEvent, DockerNode } from '../docker-api/schemas.ts'
import type { ProviderMode } from '../shared/provider.ts'
import { createEventGapDetector } from './event-gaps.ts'
import { watchManagerEvents } from './events.ts'
import { fetchRound, type Plan, SUBJECTS, type Subject } from './fetch-round.ts'
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
  /** Called after every accepted read. */
  readonly accepted: () => void
  /** Called with the key of each new event of the manager. */
  readonly eventSeen: (key: string) => void
}

export interface Fetcher {
  /** Reads at once, because another manager is selected. */
  managerChanged(): void
  start(): void
  /** Resolves when no call is running any more. */
  stop(): Promise<void>
  /** `read`: forgets the known state and reads everything. `listen`: aborts a running read. */
  setMode(mode: ProviderMode): void
  /** True while the event stream of this manager is open. */
  isListening(key: string): boolean
  /** Other replicas received events with these keys; reads at once. No keys: only reads at once. */
  hint(keys: readonly string[]): void
  /** performance.now() of the last accepted read in the current mode; null: none. */
  lastSuccess(): number | null
  lastError(): string | null
}

/** Polling is fast for this long after an event, ms. */
const EVENT_BUSY_MS = 10_000
/** Services, networks and nodes are read at this interval even without an event, ms. */
const FULL_READ_MS = 30_000
/** A read that takes longer than this may hang. A small call beside it must be answered within the same time, ms. */
const SLOW_MS = 1_000
/** If all managers are stale for this long, the swarm itself was restored from a backup, ms. */
const RESTORED_MS = 60_000
/** Above this number of changing services all tasks are read. */
const MAX_SCOPED = 20
/** Draining tasks per read. */
const MAX_DRAINING = 100
/** Consecutive 404 answers for known services before the manager counts as failed. */
const MAX_GONE = 3
/** Unknown services that events may name. */
const MAX_UNKNOWN_SERVICES = 1_000
/** Longest delay before a broken event stream is reopened, ms; shorter in mode `listen`, which makes no other calls. */
const MAX_REOPEN_MS = 15_000
const MAX_REOPEN_LISTEN_MS = 2_000
/** Problems remembered so that each is logged once. */
const MAX_REPORTED = 1_000

export function createFetcher(options: FetcherOptions): Fetcher {
  const { pool, inventory, log } = options
  const staleness = createStalenessDetector()
  const readAt = new Map<Subject, number>()
  const requested = new Set<Subject>(SUBJECTS)
  const changingUntil = new Map<string, number>()
  let allChangingUntil = 0
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
  /** Counts the changes of mode: the result of a read from an earlier mode is discarded. */
  let modeNumber = 0
  const eventGaps = createEventGapDetector()
  const limiter = createPollLimiter(options.pollBusyMs)
  const events = watchManagerEvents({
    log,
    event: onEvent,
    opened: key => (mode === 'listen' ? pool.answered(key) : requestRead(...SUBJECTS)),
    heartbeatMissed: key => pool.suspect(key, 'the heartbeats of the agent are missing'),
    ended: (key, reason) => {
      if (mode === 'listen') pool.failed(key, { kind: 'unreachable', message: reason })
      else pool.suspect(key, reason)
    },
    maxRetryMs: () => (mode === 'listen' ? MAX_REOPEN_LISTEN_MS : MAX_REOPEN_MS),
  })

  function requestRead(...subjects: Subject[]): void {
    for (const subject of subjects) requested.add(subject)
    if (mode === 'read') limiter.wake(failures > 0)
  }

  function onEvent(event: DockerEvent): void {
    const now = performance.now()
    const key = eventGaps.record(event, now)
    if (key !== null) options.eventSeen(key)
    const until = now + EVENT_BUSY_MS
    if (event.Type === 'service') {
      if (changingUntil.size < MAX_UNKNOWN_SERVICES || inventory.services().has(event.Actor.ID))
        changingUntil.set(event.Actor.ID, until)
      requestRead('services', 'tasks')
    } else if (event.Type === 'node') {
      allChangingUntil = until
      requestRead('nodes', 'tasks')
    } else requestRead('networks')
  }

  function plan(now: number): Plan {
    const due = new Set(requested)
    for (const subject of ['services', 'networks', 'nodes'] as const) if (elapsed(subject, now) >= FULL_READ_MS) due.add(subject)
    if (elapsed('tasks', now) >= options.pollRestMs - 10) due.add('tasks')
    for (const [id, until] of changingUntil) if (until < now) changingUntil.delete(id)
    // Docker answers 404 when a filter names a service that does not exist.
    const known = inventory.services()
    const busy = [...new Set([...inventory.busyServices(now), ...changingUntil.keys()])].filter(id => known.has(id))
    if (allChangingUntil > now || busy.length > MAX_SCOPED) due.add('tasks')
    const atRest = due.has('tasks')
    return { due, scope: atRest ? [] : busy, draining: inventory.draining(now, atRest).slice(0, MAX_DRAINING) }
  }

  function elapsed(subject: Subject, now: number): number {
    return now - (readAt.get(subject) ?? -Infinity)
  }

  /** Time until the next read, ms. */
  function pause(now: number): number {
    if (failures > 0) return Math.min(options.pollBusyMs * failures, 1_000)
    const busy = allChangingUntil > now || changingUntil.size > 0 || inventory.busyServices(now).length > 0
    return busy ? options.pollBusyMs : Math.max(options.pollRestMs - elapsed('tasks', now), 20)
  }

  async function loop(): Promise<void> {
    while (!stopped) {
      const current = pool.current()
      if (mode === 'listen') events.follow(current)
      else if (current !== null) await readSafely(current)
      if (stopped) return
      const now = performance.now()
      if (current === null || mode === 'listen') await limiter.sleep(1_000)
      else await limiter.sleep(Math.max(requested.size > 0 && failures === 0 ? 20 : pause(now), limiter.delayMs(now)))
    }
  }

  /** A large answer may take long while nothing is wrong. The manager hangs only when a small call is not answered either. */
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

  /** A defect that an answer triggers must not end the loop or the process. */
  async function readSafely(current: CurrentManager): Promise<void> {
    try {
      await readOnce(current)
    } catch (error) {
      failures++
      lastError = `a defect in Skein: ${error instanceof Error ? error.message : String(error)}`
      log.error(
        { manager: current.key, err: error },
        'a defect in Skein: the answer of the manager could not be processed, keeping the configuration',
      )
    }
  }

  async function readOnce(current: CurrentManager): Promise<void> {
    events.follow(current)
    const now = performance.now()
    const startedInMode = modeNumber
    limiter.readStarted(now)
    const chosen = plan(now)
    requested.clear()
    const hangWatch = watchForHang(current)
    const stop = new AbortController()
    const result = await Promise.race([fetchRound(current.client, chosen, stop), switched.promise])
    stop.abort()
    hangWatch.end()
    if (stopped) return
    // The answer of an earlier manager or mode is discarded.
    if (result === 'switched' || startedInMode !== modeNumber || pool.current()?.key !== current.key) return requestAgain(chosen)
    if (!result.ok && result.error.kind === 'gone' && chosen.scope.length > 0 && goneReads < MAX_GONE) {
      // A service was removed after the list of services was read: the list is outdated, the manager is healthy.
      goneReads++
      changingUntil.clear()
      requestRead('services', 'tasks')
      return
    }
    if (!result.ok) {
      failures++
      lastError = `${current.key}: ${result.error.message}`
      requestAgain(chosen)
      pool.failed(current.key, result.error)
      return
    }
    const { read: found, objects, problems } = result.value
    if (isForeign(found)) {
      failures++
      const message = '/nodes: expected at least one manager'
      lastError = `${current.key}: ${message}`
      requestAgain(chosen)
      pool.failed(current.key, { kind: 'bad-answer', message })
      return
    }
    const stale = isOtherSwarm(found) ? 'not one of the nodes is known: another swarm' : staleness.stale(objects)
    if (stale !== null && !isRestored(performance.now())) {
      failures++
      lastError = `${current.key}: stale: ${stale}`
      requestAgain(chosen)
      pool.failed(current.key, { kind: 'stale', message: `lags behind: ${stale}` })
      return
    }
    if (stale !== null) {
      staleness.reset()
      log.warn(
        { manager: current.key },
        'every manager has been stale for a minute, so the swarm was restored from a backup; accepting its state',
      )
    }
    if (isSudden(found)) return requestRead(...SUBJECTS)
    accept(current, chosen, found, objects, problems, now)
  }

  /**
   * True for an answer that no swarm gives: no manager among the nodes, and no service or no manager any more. Any server that
   * speaks JSON may answer with empty lists.
   */
  function isForeign({ nodes, services }: InventoryRead): boolean {
    if (nodes === undefined || nodes.some(isManager) || (services?.items.length ?? 0) > 0) return false
    return services !== undefined || [...inventory.nodes().values()].some(isManager)
  }

  function isOtherSwarm({ nodes }: InventoryRead): boolean {
    const known = inventory.nodes()
    return nodes !== undefined && known.size > 0 && !nodes.some(({ ID }) => known.has(ID))
  }

  /**
   * True when all tasks disappear at once. This is possible, but more likely the server is not a manager. Such an answer is
   * accepted only together with the nodes of the swarm.
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
    staleness.accept(objects, now)
    staleSince = null
    failures = 0
    goneReads = 0
    lastError = null
    lastSuccess = now
    for (const subject of chosen.due) readAt.set(subject, startedAt)
    const before = inventory.draining(now, true).length
    inventory.apply(found, now)
    if (inventory.draining(now, true).length > before) limiter.wake(false)
    if (inventory.incomplete()) {
      // A task may name an object that was created between two calls of one read. Read again, at most three times; later events
      // and the regular read cover it.
      if (incompleteReads++ < 3) requestRead('services', 'nodes')
    } else incompleteReads = 0
    if (inventory.busyServices(now).length > 0 && elapsed('services', now) > 5_000) requested.add('services')
    report(problems)
    pool.answered(current.key)
    if (found.nodes !== undefined) pool.observe(found.nodes)
    options.accepted()
  }

  /** Aborts the running read and requests a full one. */
  function abortRead(): void {
    switched.resolve('switched')
    switched = Promise.withResolvers<'switched'>()
    failures = 0
    requestRead(...SUBJECTS)
  }

  /** From now on the manager is healthy while its event stream is open. */
  function listen(): void {
    const current = pool.current()
    if (current !== null && events.isOpen(current.key)) pool.answered(current.key)
    else if (current !== null) events.reopen()
    events.follow(current)
  }

  function requestAgain(chosen: Plan): void {
    for (const subject of chosen.due) requested.add(subject)
    if (chosen.scope.length > 0) requested.add('tasks')
  }

  /** True when the managers have been stale for long enough that their state is accepted. */
  function isRestored(now: number): boolean {
    staleSince ??= now
    return now - staleSince >= RESTORED_MS
  }

  function report(problems: readonly string[]): void {
    const fresh = [...new Set(problems)].filter(problem => !reported.has(problem)).slice(0, 10)
    if (fresh.length === 0) return
    if (reported.size > MAX_REPORTED) reported.clear()
    for (const problem of fresh) reported.add(problem)
    log.warn({ problems: fresh }, 'ignoring malformed objects of the swarm')
  }

  return {
    managerChanged() {
      eventGaps.reset()
      abortRead()
      if (mode === 'listen') events.follow(pool.current())
    },
    setMode(next) {
      if (mode === next) return
      mode = next
      modeNumber++
      lastSuccess = null
      lastError = null
      pool.setMode(next)
      abortRead()
      if (next === 'listen') listen()
      else {
        // The old state would show tasks that have ended since as draining. The indexes of versions stay valid.
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
      const verdict = eventGaps.compare(keys, performance.now())
      log.debug({ manager: current.key, keys, verdict }, 'another replica received events')
      requestRead(...SUBJECTS)
      if (verdict === 'missed') events.reopen()
      if (verdict !== 'unreliable') return
      eventGaps.reset()
      pool.failed(current.key, { kind: 'stale', message: 'its event stream misses events that other replicas receive' })
    },
    isListening: key => events.isOpen(key),
    start() {
      running = loop()
    },
    async stop() {
      stopped = true
      events.follow(null)
      switched.resolve('switched')
      limiter.wake(false)
      await running
    },
    lastSuccess: () => lastSuccess,
    lastError: () => lastError,
  }
}

function isManager(node: DockerNode): boolean {
  return node.Spec.Role === 'manager'
}
