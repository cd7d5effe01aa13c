// A core under test and its simulated peers: events in, effects out.

import { createCore, type Parts } from '../../../cluster/core/core.ts'
import {
  type CoreEffect,
  type CoreEvent,
  type Heartbeat,
  type Held,
  type LocalState,
  type Message,
  TIMING,
} from '../../../cluster/core/state.ts'

export const LOCAL: LocalState = {
  manager: 'm1',
  managerHealthy: true,
  unreachable: [],
  unreachableAll: false,
  seen: [],
  addresses: [],
  relay: [],
}

export const HEARTBEAT: Heartbeat = {
  kind: 'beat',
  name: 'peer',
  startedAt: 1000,
  version: '1',
  role: 'follower',
  term: { number: 0, leader: '' },
  draining: false,
  revision: null,
  hash: '',
  nextMs: 1000,
  suspects: [],
  local: LOCAL,
}

interface Setting {
  readonly id?: string
  readonly name?: string
  readonly held?: Held | null
  readonly local?: Partial<LocalState>
  readonly startedAt?: number
  readonly parts?: Partial<Parts>
  readonly random?: () => number
}

export type MemberUnderTest = ReturnType<typeof member>

/** A member named `me` at time 0; `random` returns 0.5 by default. */
export function member(setting: Setting = {}) {
  const core = createCore(
    {
      id: setting.id ?? 'me',
      name: setting.name ?? 'self',
      startedAt: setting.startedAt ?? 2000,
      version: '1',
      local: { ...LOCAL, ...setting.local },
      held: setting.held ?? null,
      timing: TIMING,
      random: setting.random ?? (() => 0.5),
      now: 0,
    },
    setting.parts,
  )
  let now = 0
  let effects: CoreEffect[] = []
  const dispatch = (event: CoreEvent): readonly CoreEffect[] => {
    const stepEffects = core.step(event, now)
    effects.push(...stepEffects)
    return stepEffects
  }
  return {
    core,
    dispatch,
    get now(): number {
      return now
    },
    /** Ticks for this time and returns all effects. `each` is called before every tick. */
    pass(ms: number, each?: () => void): readonly CoreEffect[] {
      const before = effects.length
      for (const until = now + ms; now < until; ) {
        now = Math.min(until, now + 50)
        each?.()
        dispatch({ kind: 'tick' })
      }
      return effects.slice(before)
    },
    /** Time passes without ticks, as for a suspended process. */
    sleep(ms: number): void {
      now += ms
    },
    receive: (from: string, message: Message): readonly CoreEffect[] => dispatch({ kind: 'message', from, message }),
    /** A peer's heartbeat; its name is its id by default. */
    heartbeat: (from: string, heartbeat: Partial<Heartbeat> = {}): readonly CoreEffect[] =>
      dispatch({ kind: 'message', from, message: { ...HEARTBEAT, name: from, ...heartbeat } }),
    /** A peer's heartbeat as the leader of a term. */
    leads: (from: string, number: number, heartbeat: Partial<Heartbeat> = {}): readonly CoreEffect[] =>
      dispatch({
        kind: 'message',
        from,
        message: { ...HEARTBEAT, name: from, role: 'leader', term: { number, leader: from }, nextMs: 250, ...heartbeat },
      }),
    stateOf: (id: string): string | undefined => core.members().find(other => other.id === id)?.state,
    nameOf: (id: string): string | undefined => core.members().find(other => other.id === id)?.name,
    /** All effects since the last call. */
    takeEffects(): readonly CoreEffect[] {
      const all = effects
      effects = []
      return all
    },
  }
}

/** Messages of a kind among effects, sent or broadcast. */
export function messages<K extends Message['kind']>(
  effects: readonly CoreEffect[],
  kind: K,
): { readonly to: string | null; readonly message: Extract<Message, { kind: K }> }[] {
  return effects.flatMap(effect => {
    if (effect.kind !== 'send' && effect.kind !== 'broadcast') return []
    if (effect.message.kind !== kind) return []
    return [{ to: effect.kind === 'send' ? effect.to : null, message: effect.message as Extract<Message, { kind: K }> }]
  })
}

export function effectsOf<K extends CoreEffect['kind']>(
  effects: readonly CoreEffect[],
  kind: K,
): Extract<CoreEffect, { kind: K }>[] {
  return effects.filter((effect): effect is Extract<CoreEffect, { kind: K }> => effect.kind === kind)
}

export function warnings(effects: readonly CoreEffect[]): string[] {
  return effectsOf(effects, 'log').flatMap(({ level, message }) => (level === 'warn' ? [message] : []))
}

/** Runs alone until it leads, in term 1 unless it held something. */
export function leader(setting: Setting = {}): MemberUnderTest {
  const under = member(setting)
  under.pass(1500)
  if (under.core.role !== 'leader') throw new Error('it was expected to lead')
  under.takeEffects()
  return under
}
