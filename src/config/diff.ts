// Says in one line what a new snapshot changes, for the log: who came, who went, which servers began to drain.

import { canonicalJson } from './merge.ts'
import type { Service, Snapshot } from './model.ts'

/** Names listed per kind of change, at most. */
const LISTED = 8

/**
 * For example `services +shop_api -old; shop_web: servers 2 added, 1 draining; routers ~shop_web; 1 new error or warning`. Empty
 * when nothing a reader would care for has changed. `before` is null for the first snapshot.
 */
export function diffSnapshots(before: Snapshot | null, after: Snapshot): string {
  if (before !== null && before.hash === after.hash) return ''
  const parts: string[] = []
  const services = names(before?.services ?? {}, after.services)
  if (services !== '') parts.push(`services ${services}`)
  const changed: string[] = []
  for (const [name, service] of Object.entries(after.services)) {
    const old = before !== null && Object.hasOwn(before.services, name) ? before.services[name] : undefined
    if (old === undefined) continue
    const change = servers(old, service)
    if (change !== '') changed.push(`${name}: ${change}`)
  }
  parts.push(...cut(changed))
  for (const kind of ['routers', 'middlewares'] as const) {
    const change = names(before?.[kind] ?? {}, after[kind])
    if (change !== '') parts.push(`${kind} ${change}`)
  }
  const errors = newErrors(before, after)
  if (errors > 0) parts.push(errors === 1 ? '1 new error or warning' : `${errors} new errors or warnings`)
  return parts.join('; ')
}

function names(before: Readonly<Record<string, unknown>>, after: Readonly<Record<string, unknown>>): string {
  const added: string[] = []
  const changed: string[] = []
  for (const [name, value] of Object.entries(after)) {
    if (!Object.hasOwn(before, name)) added.push(`+${name}`)
    else if (!same(before[name], value) && settings(before[name]) !== settings(value)) changed.push(`~${name}`)
  }
  const removed = Object.keys(before)
    .filter(name => !Object.hasOwn(after, name))
    .map(name => `-${name}`)
  return [...cut(added), ...cut(removed), ...cut(changed)].join(' ')
}

function same(a: unknown, b: unknown): boolean {
  // The order of keys is mostly the same, and then the plain form settles it.
  return JSON.stringify(a) === JSON.stringify(b) || canonicalJson(a) === canonicalJson(b)
}

/** Everything but a service's servers, which are told apart. */
function settings(value: unknown): string {
  return canonicalJson(typeof value === 'object' && value !== null && 'servers' in value ? { ...value, servers: null } : value)
}

function servers(before: Service, after: Service): string {
  const old = new Map(before.servers.map(s => [s.id, s]))
  let added = 0
  let draining = 0
  let changed = 0
  for (const server of after.servers) {
    const was = old.get(server.id)
    old.delete(server.id)
    if (was === undefined) added++
    else if (was.state !== server.state && server.state === 'draining') draining++
    else if (!same(was, server)) changed++
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

function cut(list: readonly string[]): string[] {
  return list.length <= LISTED ? [...list] : [...list.slice(0, LISTED), `and ${list.length - LISTED} more`]
}
