// From providers' parts to one ordered snapshot. Pure but for the counter: what comes in is merged, hashed and numbered; nothing
// is published that equals what stands. A replica in a cluster merges here, but the cluster numbers (clustered.ts).

import { hashOf, mergeConfigs, snapshotOf } from '../config/merge.ts'
import type { DynamicConfig, Middleware, Revision, Router, Service, Snapshot } from '../config/model.ts'
import { parseSnapshot } from '../config/schema.ts'

export class SnapshotBuilder {
  private providers: readonly string[]
  /** Providers that only other replicas have. */
  private readonly others = new Set<string>()
  private readonly parts = new Map<string, DynamicConfig>()
  private standing: Snapshot | null
  private lending = false
  /** What was lent in the place of a provider, as it was before others' names hid anything of it. */
  private readonly lent = new Map<string, DynamicConfig>()

  /** `providers` by name. Goes on from a snapshot that was kept or received, so that revisions never go backwards. */
  constructor(providers: readonly string[], standing: Snapshot | null) {
    // In an order that does not depend on who is first, so that every replica settles a clash of names the same way.
    this.providers = [...providers].sort()
    this.standing = standing
  }

  /** A provider's whole configuration. */
  put(provider: string, config: DynamicConfig): void {
    this.parts.set(provider, config)
    this.lent.delete(provider)
  }

  /**
   * From now on what stands counts for the providers that have said nothing yet: an empty place would take all their services
   * away, and waiting for them for ever would keep back what the others say.
   */
  fillMissing(): void {
    this.lending = true
  }

  /** Other replicas have a provider that this one has not: what stands counts for it, for nothing will ever be heard of it here. */
  addRemoteProvider(provider: string): void {
    if (this.providers.includes(provider)) return
    this.others.add(provider)
    this.providers = [...this.providers, provider].sort()
  }

  /** No other replica has that provider any more: the standing configuration no longer counts for it. */
  removeRemoteProvider(provider: string): void {
    if (!this.others.delete(provider)) return
    this.providers = this.providers.filter(name => name !== provider)
    this.lent.delete(provider)
  }

  isRemoteProvider(provider: string): boolean {
    return this.others.has(provider)
  }

  /** This counts now; `own`: made of what merged() gave. */
  setCurrent(snapshot: Snapshot, own = false): void {
    this.standing = snapshot
    if (!own) this.lent.clear()
  }

  /** Forgets all parts: another replica has fetched for a while, and what they say may be old. */
  clear(): void {
    this.parts.clear()
    this.lent.clear()
    this.lending = false
  }

  /** All parts as one, not numbered; null while a provider of this replica has said nothing, unless lend() was called and another has. */
  merged(): DynamicConfig | null {
    if (this.parts.size === 0) return null
    const parts: DynamicConfig[] = []
    for (const name of this.providers) {
      const part = this.parts.get(name)
      if (part !== undefined) parts.push(this.standing === null ? part : completed(part, partOf(this.standing, name)))
      else if (!this.lending && !this.others.has(name)) return null
      else if (this.standing !== null) parts.push(this.lentOf(name, this.standing))
    }
    return mergeConfigs(parts)
  }

  private lentOf(provider: string, standing: Snapshot): DynamicConfig {
    const part = this.lent.get(provider) ?? partOf(standing, provider)
    this.lent.set(provider, part)
    return part
  }

  /** All parts as a snapshot, numbered: the one that stands when nothing has changed; null as with merged(). */
  next(): Snapshot | null {
    const merged = this.merged()
    if (merged === null) return null
    const before = this.standing?.revision ?? { term: 0, leader: '', sequence: 0 }
    const next = snapshotOf(merged, { ...before, sequence: before.sequence + 1 })
    if (this.standing === null || next.hash !== this.standing.hash) this.standing = next
    return this.standing
  }
}

/** What one provider has in a snapshot. Middlewares belong to whose routers name them. */
function partOf(snapshot: Snapshot, provider: string): DynamicConfig {
  const ours = <T extends { readonly provider: string }>(table: Readonly<Record<string, T>>): Record<string, T> =>
    Object.fromEntries(Object.entries(table).filter(([, entry]) => entry.provider === provider))
  const routers = ours(snapshot.routers)
  const named = new Set(Object.values(routers).flatMap(router => router.middlewares))
  return {
    routers,
    services: ours(snapshot.services),
    middlewares: Object.fromEntries(Object.entries(snapshot.middlewares).filter(([name]) => named.has(name))),
    errors: snapshot.errors.filter(error => error.provider === provider),
  }
}

/**
 * A provider's part, with what `before` has of sources that the provider could not read: a broken file must not take away, because
 * a replica was restarted or another one leads, what is served by its last good state. What it reads itself goes first.
 */
function completed(part: DynamicConfig, before: DynamicConfig): DynamicConfig {
  if (part.readSources === undefined) return part
  const known = new Set(part.readSources)
  const routers: Record<string, Router> = {}
  const services: Record<string, Service> = {}
  const middlewares: Record<string, Middleware> = {}
  for (const [name, router] of Object.entries(before.routers)) {
    const service = before.services[router.service]
    if (service === undefined || Object.hasOwn(part.routers, name)) continue
    // Of two files, one may name what the other defines.
    if (known.has(router.source) && known.has(service.source)) continue
    routers[name] = router
    services[router.service] = service
    for (const one of router.middlewares) if (before.middlewares[one] !== undefined) middlewares[one] = before.middlewares[one]
  }
  return {
    routers: { ...routers, ...part.routers },
    services: { ...services, ...part.services },
    middlewares: { ...middlewares, ...part.middlewares },
    errors: part.errors,
  }
}

/** A revision for people: `0.17`. */
export function formatRevision(revision: Revision): string {
  return `${revision.term}.${revision.sequence}`
}

/**
 * A snapshot read from disk, or the reason why it is none. One whose content is not that of its hash (someone has edited it) is
 * as good as any while no manager answers, but it must not be taken for what the managers last said: it gets the hash it should
 * have, and no term: what other members hold under that revision replaces it.
 */
export function restoreSnapshot(value: unknown, warn: (message: string) => void): Snapshot | string {
  const result = parseSnapshot(value)
  if (!result.ok) return result.message
  const hash = hashOf(result.snapshot)
  if (hash === result.snapshot.hash) return result.snapshot
  warn('the configuration kept on disk was changed by something other than Skein; it counts until a manager answers')
  const { sequence } = result.snapshot.revision
  return { ...result.snapshot, revision: { term: 0, leader: '', sequence }, hash }
}
