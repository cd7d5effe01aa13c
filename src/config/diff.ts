// Summarises in one log line what a new snapshot changes: added, removed and changed entries, and servers that began to drain. Pure.

import { canonicalJson } from './merge.ts'
import type { Service, Snapshot } from './model.ts'

/** Names listed for one kind of change. */
const MAX_NAMES = 8

/**
 * For example `services +shop_api -old; shop_web: servers 2 added, 1 draining; routers ~shop_web; 1 new error or warning`. Empty if
 * nothing visible has changed. `before` is null for the first snapshot.
 */
export function diffSnapshots(before: Snapshot | null, after: Snapshot): string {
  if (before !== null && before.hash === after.hash) return ''
  const parts: string[] = []
  const services = changedNames(before?.services ?? {}, after.services)
  if (services !== '') parts.push(`services ${services}`)
  const changed: string[] = []
  for (const [name, service] of Object.entries(after.services)) {
    const old = before !== null && Object.hasOwn(before.services, name) ? before.services[name] : undefined
    if (old === undefined) continue
    const change = changedServers(old, service)
    if (change !== '') changed.push(`${name}: ${change}`)
  }
  parts.push(...shorten(changed))
  for (const kind of ['routers', 'middlewares'] as const) {
    const change = changedNames(before?.[kind] ?? {}, after[kind])
    if (change !== '') parts.push(`${kind} ${change}`)
  }
  const errors = newErrors(before, after)
  if (errors > 0) parts.push(errors === 1 ? '1 new error or warning' : `${errors} new errors or warnings`)
  return parts.join('; ')
}

function changedNames(before: Readonly<Record<string, unknown>>, after: Readonly<Record<string, unknown>>): string {
  const added: string[] = []
  const changed: string[] = []
  for (const [name, value] of Object.entries(after)) {
    if (!Object.hasOwn(before, name)) added.push(`+${name}`)
    else if (!isEqual(before[name], value) && settings(before[name]) !== settings(value)) changed.push(`~${name}`)
  }
  const removed = Object.keys(before)
    .filter(name => !Object.hasOwn(after, name))
    .map(name => `-${name}`)
  return [...shorten(added), ...shorten(removed), ...shorten(changed)].join(' ')
}

function isEqual(a: unknown, b: unknown): boolean {
  // The order of keys is usually the same, so the cheaper comparison comes first.
  return JSON.stringify(a) === JSON.stringify(b) || canonicalJson(a) === canonicalJson(b)
}

/** Everything except a service's servers, whose changes are listed separately. */
function settings(value: unknown): string {
  return canonicalJson(typeof value === 'object' && value !== null && 'servers' in value ? { ...value, servers: null } : value)
}

function changedServers(before: Service, after: Service): string {
  const old = new Map(before.servers.map(s => [s.id, s]))
  let added = 0
  let draining = 0
  let changed = 0
  for (const server of after.servers) {
    const was = old.get(server.id)
    old.delete(server.id)
    if (was === undefined) added++
    else if (was.state !== server.state && server.state === 'draining') draining++
    else if (!isEqual(was, server)) changed++
  }
  const parts: string[] = []
  if (added > 0) parts.push(`${added} added`)
  if (old.size > 0) parts.push(`${old.size} removed`)
  if (draining > 0) parts.push(`${draining} draining`)
  if (changed > 0) parts.push(`${changed} changed`)
  return parts.length === 0 ? '' : `servers ${parts.join(', ')}`
}

function newErrors(before: Snapshot | null, after: Snapshot): number {
  const known = new Set((before?.errors ?? []).map(canonicalJson))
  return after.errors.filter(e => !known.has(canonicalJson(e))).length
}

function shorten(list: readonly string[]): string[] {
  return list.length <= MAX_NAMES ? [...list] : [...list.slice(0, MAX_NAMES), `and ${list.length - MAX_NAMES} more`]
}
