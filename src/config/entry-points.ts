// Entry points are options of each replica, so the replicated configuration refers to them by name only. Each replica resolves the
// names against its own entry points: routers that it cannot serve are removed from its workers' snapshot, and names that it lacks
// are reported by this replica alone. Pure.

import type { ConfigError, Router, Snapshot } from './model.ts'

export const ENTRY_POINT_NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/

/** Errors reported for one snapshot; a last one stands for the rest. */
const MAX_ERRORS = 1_000

export interface Resolved {
  /** The snapshot for this replica's workers, with the revision and the hash of the replicated one. */
  readonly snapshot: Snapshot
  readonly errors: readonly ConfigError[]
}

/**
 * @param known names of this replica's entry points
 * @param prefix prefix of the labels (`traefik`), to name the label in errors
 */
export function resolveEntryPoints(snapshot: Snapshot, known: readonly string[], prefix: string): Resolved {
  const errors = unknownEntryPoints(Object.values(snapshot.routers), known, prefix)
  if (errors.length === 0) return { snapshot, errors }
  const routers: Record<string, Router> = {}
  for (const [name, router] of Object.entries(snapshot.routers)) {
    const entryPoints = router.entryPoints.filter(point => known.includes(point))
    // An empty list means all entry points, which would be more than the label requested.
    if (router.entryPoints.length === 0) routers[name] = router
    else if (entryPoints.length > 0) routers[name] = { ...router, entryPoints }
  }
  return { snapshot: { ...snapshot, routers }, errors }
}

/** One error for each router that names an entry point not in `known`. */
export function unknownEntryPoints(routers: readonly Router[], known: readonly string[], prefix: string): ConfigError[] {
  const errors: ConfigError[] = []
  const expected = `expected entry points among ${[...known].sort().join(', ') || '(there are none)'}, which this replica has`
  for (const router of routers) {
    const served = router.entryPoints.filter(point => known.includes(point))
    if (served.length === router.entryPoints.length) continue
    const { provider, source } = router
    if (errors.length === MAX_ERRORS) {
      const message = 'more routers name entry points that this replica does not have; they are not listed'
      errors.push({ severity: 'warning', provider, source: '', key: '', value: '', message })
      break
    }
    errors.push({
      severity: served.length === 0 ? 'error' : 'warning',
      provider,
      source,
      key: keyOf(router, prefix).slice(0, 200),
      value: router.entryPoints.join(',').slice(0, 200),
      message: `${expected}; it ${served.length === 0 ? 'does not serve the router' : `serves the router at ${served.join(', ')} only`}`,
    })
  }
  return errors
}

/** The label, or the key in the file. */
function keyOf({ name, provider, source }: Router, prefix: string): string {
  if (provider === 'file') return `frontends.${name}.entryPoints`
  const segment = name.startsWith(`${source}-`) ? `${name.slice(source.length + 1)}.` : ''
  return `${prefix}.${segment}frontend.entryPoints`
}
