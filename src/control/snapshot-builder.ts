// Merges the configurations of all providers into one snapshot with a revision. Gives no new snapshot while the content is unchanged.
// In a cluster the merging happens here, but the revision is the cluster's (cluster-adapter.ts). No I/O.

import { mergeConfigs, snapshotOf } from '../config/merge.ts'
import type { DynamicConfig, Middleware, Router, Service, Snapshot } from '../config/model.ts'
import { MIDDLEWARES } from '../middlewares/registry.ts'
import { withFeatures } from './route-check.ts'

export class SnapshotBuilder {
  private providers: readonly string[]
  /** Providers that only other replicas have. */
  private readonly remoteProviders = new Set<string>()
  private readonly parts = new Map<string, DynamicConfig>()
  private current: Snapshot | null
  private fillsMissing = false
  /**
   * Parts taken from the current snapshot for providers that have delivered nothing. Kept from the first use on, because a later
   * snapshot may lack entries whose names another provider took.
   */
  private readonly filled = new Map<string, DynamicConfig>()

  /** `current`: the stored or replicated snapshot; revisions continue from it and never go backwards. */
  constructor(providers: readonly string[], current: Snapshot | null) {
    // A fixed order: every replica resolves a conflict of names in the same way.
    this.providers = [...providers].sort()
    this.current = current
  }

  /** Sets a provider's whole configuration. */
  put(provider: string, config: DynamicConfig): void {
    this.parts.set(provider, config)
    this.filled.delete(provider)
  }

  /**
   * From now on uses the current snapshot's part for providers that have delivered nothing. An empty part would remove all their
   * services; waiting for them would hold back the other providers' changes.
   */
  fillMissing(): void {
    this.fillsMissing = true
  }

  /** Adds a provider that other replicas have and this one lacks. It never delivers here: the current snapshot's part is used. */
  addRemoteProvider(provider: string): void {
    if (this.providers.includes(provider)) return
    this.remoteProviders.add(provider)
    this.providers = [...this.providers, provider].sort()
  }

  /** Removes a provider that no other replica has any more, and its part with the next merge. */
  removeRemoteProvider(provider: string): void {
    if (!this.remoteProviders.delete(provider)) return
    this.providers = this.providers.filter(name => name !== provider)
    this.filled.delete(provider)
  }

  isRemoteProvider(provider: string): boolean {
    return this.remoteProviders.has(provider)
  }

  /** Sets the current snapshot. `own`: it was built from the result of merged(). */
  setCurrent(snapshot: Snapshot, own = false): void {
    this.current = snapshot
    if (!own) this.filled.clear()
  }

  /** Drops all parts, which may be outdated after another replica has led. */
  clear(): void {
    this.parts.clear()
    this.filled.clear()
    this.fillsMissing = false
  }

  /**
   * All parts merged, without a revision. null while no provider has delivered, or while one of this replica's providers has not and
   * fillMissing() was not called.
   */
  merged(): DynamicConfig | null {
    if (this.parts.size === 0) return null
    const parts: DynamicConfig[] = []
    for (const name of this.providers) {
      const part = this.parts.get(name)
      if (part !== undefined) parts.push(this.current === null ? part : withUnreadSources(part, partOf(this.current, name)))
      else if (!this.fillsMissing && !this.remoteProviders.has(name)) return null
      else if (this.current !== null) parts.push(this.filledPart(name, this.current))
    }
    return withFeatures(mergeConfigs(parts), MIDDLEWARES)
  }

  private filledPart(provider: string, current: Snapshot): DynamicConfig {
    const part = this.filled.get(provider) ?? partOf(current, provider)
    this.filled.set(provider, part)
    return part
  }

  /** All parts merged as a snapshot with the next revision; the current snapshot if nothing has changed; null like merged(). */
  next(): Snapshot | null {
    const merged = this.merged()
    if (merged === null) return null
    const before = this.current?.revision ?? { term: 0, leader: '', sequence: 0 }
    const next = snapshotOf(merged, { ...before, sequence: before.sequence + 1 })
    if (this.current === null || next.hash !== this.current.hash) this.current = next
    return this.current
  }
}

/** A provider's part of a snapshot. A middleware belongs to the provider whose routers name it. */
function partOf(snapshot: Snapshot, provider: string): DynamicConfig {
  const ownEntries = <T extends { readonly provider: string }>(table: Readonly<Record<string, T>>): Record<string, T> =>
    Object.fromEntries(Object.entries(table).filter(([, entry]) => entry.provider === provider))
  const routers = ownEntries(snapshot.routers)
  const used = new Set(Object.values(routers).flatMap(router => router.middlewares))
  return {
    routers,
    services: ownEntries(snapshot.services),
    middlewares: Object.fromEntries(Object.entries(snapshot.middlewares).filter(([name]) => used.has(name))),
    errors: snapshot.errors.filter(error => error.provider === provider),
  }
}

/**
 * Adds to a provider's part what `before` has from sources that the provider has not been able to read. A broken file must not lose
 * its last good state because the replica was restarted or another one leads. Entries of `part` take precedence.
 */
function withUnreadSources(part: DynamicConfig, before: DynamicConfig): DynamicConfig {
  if (part.readSources === undefined) return part
  const read = new Set(part.readSources)
  const routers: Record<string, Router> = {}
  const services: Record<string, Service> = {}
  const middlewares: Record<string, Middleware> = {}
  for (const [name, router] of Object.entries(before.routers)) {
    const service = before.services[router.service]
    if (service === undefined || Object.hasOwn(part.routers, name)) continue
    // A router in one file may use a service in another. The stub of a service (newer-parts.ts) has no source.
    if (read.has(router.source) && (service.source === '' || read.has(service.source))) continue
    routers[name] = router
    services[router.service] = service
    for (const used of router.middlewares)
      if (before.middlewares[used] !== undefined) middlewares[used] = before.middlewares[used]
  }
  return {
    routers: { ...routers, ...part.routers },
    services: { ...services, ...part.services },
    middlewares: { ...middlewares, ...part.middlewares },
    errors: part.errors,
  }
}
