// Comparisons of heartbeats for membership.ts: order, differences worth reporting, suspicions of other members, restarts. Pure.

import type { CoreContext } from './context.ts'
import { isUp, type Peer } from './peer.ts'
import { compareRevisions, compareTerms, type Heartbeat, type MemberId } from './state.ts'

/** True when the heartbeat was sent before `known` and arrives after it. */
export function isOlder(heartbeat: Heartbeat, known: Heartbeat): boolean {
  if (compareTerms(heartbeat.term, known.term) < 0) return true
  return known.revision !== null && (heartbeat.revision === null || compareRevisions(heartbeat.revision, known.revision) < 0)
}

/** True when something changed that the status, the relay or the logs use. */
export function differs(a: Heartbeat, b: Heartbeat): boolean {
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
    a.local.secretState !== b.local.secretState ||
    !sameOptions(a.local.options, b.local.options) ||
    !sameList(a.local.networks ?? [], b.local.networks ?? [])
  )
}

function sameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((value, index) => value === b[index])
}

/** A peer that is up and reports `suspected` among its suspects; null: none does. */
export function findSuspicionWitness(context: CoreContext, suspected: Peer): MemberId | null {
  for (const peer of context.membership.peers.values()) {
    if (peer !== suspected && isUp(peer) && peer.heartbeat.suspects.includes(suspected.id)) return peer.id
  }
  return null
}

/** True when a peer of the same name that started later is up. */
export function isReplaced(context: CoreContext, old: Peer): boolean {
  for (const peer of context.membership.peers.values()) {
    if (isUp(peer) && peer.heartbeat.name === old.heartbeat.name && peer.heartbeat.startedAt > old.heartbeat.startedAt)
      return true
  }
  return context.options.name === old.heartbeat.name && context.options.startedAt > old.heartbeat.startedAt
}

function sameOptions(a: Heartbeat['local']['options'], b: Heartbeat['local']['options']): boolean {
  if (a === undefined || b === undefined) return a === b
  const names = Object.keys(a)
  return names.length === Object.keys(b).length && names.every(name => a[name] === b[name])
}
