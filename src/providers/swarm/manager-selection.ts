// Selects the manager to use. A pure state machine: events in, state and effects out; no sockets, timers or clock. A dead
// manager is left at once. A hanging manager is left only for one that has answered since, because during a leader election all
// managers hang for about ten seconds.

/** A preferred endpoint that failed must be healthy this long before the replica returns to it, ms. */
export const RETURN_AFTER_MS = 30_000

export interface EndpointHealth {
  readonly state: 'unknown' | 'healthy' | 'hanging' | 'down'
  /** Start of the state, ms. */
  readonly since: number
  /** Last answer, ms; null before the first. */
  readonly answeredAt: number | null
  /** True after a failure: the endpoint must be healthy for a while before the replica returns to it. */
  readonly failed: boolean
  readonly lastError: string | null
}

export interface SelectionState {
  /** Endpoints in this replica's order of preference. */
  readonly order: readonly string[]
  readonly current: string | null
  readonly health: ReadonlyMap<string, EndpointHealth>
}

export type SelectionEvent =
  /** The list of endpoints or their order changed. */
  | { readonly kind: 'order'; readonly order: readonly string[]; readonly at: number }
  /** A call that needs a working swarm succeeded. */
  | { readonly kind: 'answer'; readonly endpoint: string; readonly at: number }
  /** Health reports of unused endpoints from before `before` expire, because nothing probes these endpoints regularly. */
  | { readonly kind: 'expire'; readonly before: number; readonly at: number }
  /** A call failed. `hang`: connected without an answer, or the swarm has no leader. */
  | { readonly kind: 'failure'; readonly endpoint: string; readonly hang: boolean; readonly message: string; readonly at: number }

export type SelectionEffect =
  | { readonly kind: 'select'; readonly endpoint: string | null }
  /** Probe these endpoints now. */
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

/** Returns a new state. `returnAfterMs` differs from RETURN_AFTER_MS only in tests. */
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
    return next === state.current ? { state: kept, effects: [] } : select(kept, next)
  }
  return preferBetter(kept, at, [], returnAfterMs)
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
  return preferBetter(withHealth(state, endpoint, after), at, effects, returnAfterMs)
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
      const moved = select(updated, usable)
      return { state: moved.state, effects: [...effects, ...moved.effects] }
    }
  }
  const preferred = preferBetter(updated, at, effects, returnAfterMs)
  if (preferred.state.current !== endpoint || others.length === 0) return preferred
  return { state: preferred.state, effects: [...preferred.effects, { kind: 'probe', endpoints: others }] }
}

/** Moves to a better endpoint if there is a reason to. */
function preferBetter(
  state: SelectionState,
  at: number,
  effects: readonly SelectionEffect[],
  returnAfterMs: number,
): SelectionStep {
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
  const moved = select(state, better)
  return { state: moved.state, effects: [...effects, ...moved.effects] }
}

/** The first healthy endpoint, else the first that was never tried. */
function firstUsable(state: SelectionState): string | null {
  const inState = (wanted: EndpointHealth['state']) => state.order.find(endpoint => state.health.get(endpoint)?.state === wanted)
  return inState('healthy') ?? inState('unknown') ?? null
}

function select(state: SelectionState, endpoint: string | null): SelectionStep {
  return { state: { ...state, current: endpoint }, effects: [{ kind: 'select', endpoint }] }
}

function withHealth(state: SelectionState, endpoint: string, health: EndpointHealth): SelectionState {
  return { ...state, health: new Map(state.health).set(endpoint, health) }
}

function unknownSince(at: number): EndpointHealth {
  return { state: 'unknown', since: at, answeredAt: null, failed: false, lastError: null }
}
