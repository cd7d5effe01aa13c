// Which endpoint to read from now. A pure state machine: events in, state and effects out; no sockets, no timers, no clock of
// its own. A dead manager is left at once; a manager that hangs is left only for one that has answered since, because during a
// leader election every manager hangs for about ten seconds and moving about would only flap. Spec: design, section 5.

/** How long a better-placed endpoint that had failed must be healthy before the replica returns to it, ms. */
export const RETURN_AFTER_MS = 30_000

export interface EndpointHealth {
  readonly state: 'unknown' | 'healthy' | 'hanging' | 'down'
  /** When the state began, ms. */
  readonly since: number
  /** Last answer, ms; null: none yet. */
  readonly answeredAt: number | null
  /** True once it has failed: it must prove itself before it is returned to. */
  readonly failed: boolean
  readonly lastError: string | null
}

export interface SelectionState {
  /** Endpoints in this replica's own order, best first. */
  readonly order: readonly string[]
  readonly current: string | null
  readonly health: ReadonlyMap<string, EndpointHealth>
}

export type SelectionEvent =
  /** The list of endpoints, or this replica's order of them, has changed. */
  | { readonly kind: 'order'; readonly order: readonly string[]; readonly at: number }
  /** A read that needs a working swarm has succeeded. */
  | { readonly kind: 'answer'; readonly endpoint: string; readonly at: number }
  /** What was learned of the others before `before` counts no longer: nobody asks them regularly. */
  | { readonly kind: 'expire'; readonly before: number; readonly at: number }
  /** A read failed. `hang`: it is connected but gives no answer, or says that the swarm has no leader. */
  | { readonly kind: 'failure'; readonly endpoint: string; readonly hang: boolean; readonly message: string; readonly at: number }

export type SelectionEffect =
  | { readonly kind: 'use'; readonly endpoint: string | null }
  /** Ask these now whether they answer. */
  | { readonly kind: 'probe'; readonly endpoints: readonly string[] }
  /** For the log. */
  | {
      readonly kind: 'changed'
      readonly endpoint: string
      readonly state: EndpointHealth['state']
      readonly message: string | null
    }

export interface SelectionStep {
  readonly state: SelectionState
  readonly effects: readonly SelectionEffect[]
}

export const INITIAL_SELECTION: SelectionState = { order: [], current: null, health: new Map() }

/** One step; the state given is never changed. `returnAfterMs`: RETURN_AFTER_MS, but in tests. */
export function stepSelection(state: SelectionState, event: SelectionEvent, returnAfterMs = RETURN_AFTER_MS): SelectionStep {
  switch (event.kind) {
    case 'order':
      return reorder(state, event.order, event.at, returnAfterMs)
    case 'answer':
      return answered(state, event.endpoint, event.at, returnAfterMs)
    case 'expire':
      return expired(state, event.before, event.at)
    case 'failure':
      return failed(state, event, returnAfterMs)
  }
}

function reorder(state: SelectionState, order: readonly string[], at: number, returnAfterMs: number): SelectionStep {
  const health = new Map(order.map(endpoint => [endpoint, state.health.get(endpoint) ?? unknownSince(at)]))
  const kept: SelectionState = {
    order,
    current: state.current !== null && health.has(state.current) ? state.current : null,
    health,
  }
  if (kept.current === null) {
    const next = firstUsable(kept) ?? order[0] ?? null
    return next === state.current ? { state: kept, effects: [] } : use(kept, next)
  }
  return settle(kept, at, [], returnAfterMs)
}

function expired(state: SelectionState, before: number, at: number): SelectionStep {
  const health = new Map(
    [...state.health].map(([endpoint, known]) => {
      const old = endpoint !== state.current && known.state === 'healthy' && (known.answeredAt ?? at) < before
      return [endpoint, old ? { ...unknownSince(at), failed: known.failed } : known] as const
    }),
  )
  return { state: { ...state, health }, effects: [] }
}

function answered(state: SelectionState, endpoint: string, at: number, returnAfterMs: number): SelectionStep {
  const before = state.health.get(endpoint)
  if (before === undefined) return { state, effects: [] }
  const fresh = before.state !== 'healthy'
  const after: EndpointHealth = { ...before, state: 'healthy', since: fresh ? at : before.since, answeredAt: at, lastError: null }
  const effects: SelectionEffect[] = fresh ? [{ kind: 'changed', endpoint, state: 'healthy', message: null }] : []
  return settle(withHealth(state, endpoint, after), at, effects, returnAfterMs)
}

function failed(
  state: SelectionState,
  event: Extract<SelectionEvent, { kind: 'failure' }>,
  returnAfterMs: number,
): SelectionStep {
  const { endpoint, at, message } = event
  const before = state.health.get(endpoint)
  if (before === undefined) return { state, effects: [] }
  const next = event.hang ? 'hanging' : 'down'
  const changed = before.state !== next
  const after: EndpointHealth = { ...before, state: next, since: changed ? at : before.since, failed: true, lastError: message }
  const updated = withHealth(state, endpoint, after)
  const effects: SelectionEffect[] = changed ? [{ kind: 'changed', endpoint, state: next, message }] : []
  if (endpoint !== state.current) return { state: updated, effects }
  // A hanging manager is left only for one that has answered since; so ask the others.
  const others = updated.order.filter(other => other !== endpoint)
  if (!event.hang) {
    const usable = firstUsable(updated)
    if (usable !== null) {
      const moved = use(updated, usable)
      return { state: moved.state, effects: [...effects, ...moved.effects] }
    }
  }
  const settled = settle(updated, at, effects, returnAfterMs)
  if (settled.state.current !== endpoint || others.length === 0) return settled
  return { state: settled.state, effects: [...settled.effects, { kind: 'probe', endpoints: others }] }
}

/** Moves to a better endpoint if there is a reason to. */
function settle(state: SelectionState, at: number, effects: readonly SelectionEffect[], returnAfterMs: number): SelectionStep {
  const { current, order, health } = state
  const now = current === null ? undefined : health.get(current)
  if (current === null || now === undefined) return { state, effects }
  const broken = now.state === 'hanging' || now.state === 'down'
  const rank = order.indexOf(current)
  const better = order.find((endpoint, place) => {
    const candidate = health.get(endpoint)
    if (endpoint === current || candidate?.state !== 'healthy') return false
    if (broken) return candidate.answeredAt !== null && candidate.answeredAt >= now.since
    return place < rank && (!candidate.failed || at - candidate.since >= returnAfterMs)
  })
  if (better === undefined) return { state, effects }
  const moved = use(state, better)
  return { state: moved.state, effects: [...effects, ...moved.effects] }
}

/** The first endpoint known to be healthy, else the first that nobody has tried. */
function firstUsable(state: SelectionState): string | null {
  const inState = (wanted: EndpointHealth['state']) => state.order.find(endpoint => state.health.get(endpoint)?.state === wanted)
  return inState('healthy') ?? inState('unknown') ?? null
}

function use(state: SelectionState, endpoint: string | null): SelectionStep {
  return { state: { ...state, current: endpoint }, effects: [{ kind: 'use', endpoint }] }
}

function withHealth(state: SelectionState, endpoint: string, health: EndpointHealth): SelectionState {
  return { ...state, health: new Map(state.health).set(endpoint, health) }
}

function unknownSince(at: number): EndpointHealth {
  return { state: 'unknown', since: at, answeredAt: null, failed: false, lastError: null }
}
