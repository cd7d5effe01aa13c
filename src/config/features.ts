// Features: what a router or a service needs of the replica that serves it. Replicas of different versions share one
// configuration during a rolling update; a replica that lacks a feature answers 503 for the router, because serving it without
// (say) its authentication would be worse. Kinds of middlewares that are newer than version 0.1 are features too, see
// src/middlewares/registry.ts. Entry points are options of each replica and not shared, so they need none.

import type { Router, Service } from './model.ts'

/** Features of this version beside its middlewares. Version 0.1 has none. */
export const FEATURES: readonly string[] = []

/** The first feature of a router or of its service that is in neither list; null: all are known. */
export function missingFeature(router: Router, service: Service, known: ReadonlySet<string>): string | null {
  return missingOf(router.features, known) ?? missingServiceFeature(service, known)
}

/** The same for a service alone: a relayed request has no router here. */
export function missingServiceFeature(service: Service, known: ReadonlySet<string>): string | null {
  return missingOf(service.features, known)
}

function missingOf(features: readonly string[] | undefined, known: ReadonlySet<string>): string | null {
  for (const feature of features ?? []) if (!known.has(feature) && !FEATURES.includes(feature)) return feature
  return null
}
