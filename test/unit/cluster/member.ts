// One member under test, and the peers that speak to it: events in, effects out, by hand.

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

export const BEAT: Heartbeat = {
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

export type Under = ReturnType<typeof member>

/** A member called `me` at time 0; `random` gives 0.5 unless told. */
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
  let said: CoreEffect[] = []
  const give = (event: CoreEvent): readonly CoreEffect[] => {
    const effects = core.step(event, now)
    said.push(...effects)
    return effects
  }
  return {
    core,
    give,
    get now(): number {
      return now
    },
    /** Ticks for so long; answers with all that was said meanwhile. `each` is called before every tick. */
    pass(ms: number, each?: () => void): readonly CoreEffect[] {
      const before = said.length
      for (const until = now + ms; now < until; ) {
        now = Math.min(until, now + 50)
        each?.()
        give({ kind: 'tick' })
      }
      return said.slice(before)
    },
    /** Time passes without anything, as for a process that is stopped. */
    sleep(ms: number): void {
      now += ms
    },
    hear: (from: string, message: Message): readonly CoreEffect[] => give({ kind: 'message', from, message }),
    /** A peer's beat; its name is its id unless told. */
    beat: (from: string, beat: Partial<Heartbeat> = {}): readonly CoreEffect[] =>
      give({ kind: 'message', from, message: { ...BEAT, name: from, ...beat } }),
    /** A peer's beat as the leader of a term. */
    leads: (from: string, number: number, beat: Partial<Heartbeat> = {}): readonly CoreEffect[] =>
      give({
        kind: 'message',
        from,
        message: { ...BEAT, name: from, role: 'leader', term: { number, leader: from }, nextMs: 250, ...beat },
      }),
    stateOf: (id: string): string | undefined => core.members().find(other => other.id === id)?.state,
    nameOf: (id: string): string | undefined => core.members().find(other => other.id === id)?.name,
    /** All that was said since it was last asked. */
    heardOf(): readonly CoreEffect[] {
      const all = said
      said = []
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

/** Alone until it leads, in term 1 unless it held something. */
export function leader(setting: Setting = {}): Under {
  const under = member(setting)
  under.pass(1500)
  if (under.core.role !== 'leader') throw new Error('it was expected to lead')
  under.heardOf()
  return under
}
