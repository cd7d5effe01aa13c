// What beats tell beyond that their sender lives: something new, who misses whom, who was started anew. Pure; a part of
// membership.ts.

import type { World } from './context.ts'
import { isUp, type Peer } from './membership.ts'
import { type Beat, compareRevisions, compareTerms, type MemberId } from './state.ts'

/** Sent before what is known already and overtaken by it. */
export function isOlder(beat: Beat, known: Beat): boolean {
  if (compareTerms(beat.term, known.term) < 0) return true
  return known.revision !== null && (beat.revision === null || compareRevisions(beat.revision, known.revision) < 0)
}

/** Something that people or the relay may want to know, beyond that it is alive. */
export function differs(a: Beat, b: Beat): boolean {
  return (
    a.role !== b.role ||
    a.name !== b.name ||
    a.hash !== b.hash ||
    compareTerms(a.term, b.term) !== 0 ||
    (a.revision === null) !== (b.revision === null) ||
    (a.revision !== null && b.revision !== null && compareRevisions(a.revision, b.revision) !== 0) ||
    a.local.manager !== b.local.manager ||
    a.local.managerHealthy !== b.local.managerHealthy ||
    a.local.unreachableAll !== b.local.unreachableAll ||
    !sameList(a.local.unreachable, b.local.unreachable) ||
    !sameList(a.local.addresses, b.local.addresses) ||
    !sameList(a.local.relay, b.local.relay) ||
    !sameOptions(a.local.options, b.local.options) ||
    !sameList(a.local.networks ?? [], b.local.networks ?? [])
  )
}

function sameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((value, index) => value === b[index])
}

/** A member in good standing that has said that it misses this one. */
export function witness(world: World, suspected: Peer): MemberId | null {
  for (const peer of world.membership.peers.values()) {
    if (peer !== suspected && isUp(peer) && peer.beat.suspects.includes(suspected.id)) return peer.id
  }
  return null
}

/** A younger one of the same name is here. */
export function isReplaced(world: World, old: Peer): boolean {
  for (const peer of world.membership.peers.values()) {
    if (isUp(peer) && peer.beat.name === old.beat.name && peer.beat.startedAt > old.beat.startedAt) return true
  }
  return world.options.name === old.beat.name && world.options.startedAt > old.beat.startedAt
}

function sameOptions(a: Beat['local']['options'], b: Beat['local']['options']): boolean {
  if (a === undefined || b === undefined) return a === b
  const names = Object.keys(a)
  return names.length === Object.keys(b).length && names.every(name => a[name] === b[name])
}
