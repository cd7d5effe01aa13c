// Builds the list of managers for GET /api/managers.

import { type Endpoint, formatEndpoint } from '../docker-api/endpoint.ts'
import type { ManagerStatus } from '../shared/provider.ts'
import type { SeedEndpoint } from './endpoint-addresses.ts'
import type { SelectionState } from './manager-selection.ts'
import type { RosterEntry } from './roster.ts'
import type { SwarmIdentities } from './swarm-identity.ts'

export interface ManagerListInput {
  readonly roster: ReadonlyMap<string, RosterEntry>
  readonly selection: SelectionState
  readonly hostnames: ReadonlyMap<string, string>
  /** The endpoints of the options, and what they resolved to. */
  readonly seeds: readonly Endpoint[]
  readonly found: readonly SeedEndpoint[]
  /** Names that cannot be looked up, with the reason. */
  readonly problems: ReadonlyMap<string, string>
  readonly identities: Pick<SwarmIdentities, 'problemOf'>
}

export function listManagers({
  roster,
  selection,
  hostnames,
  seeds,
  found,
  problems,
  identities,
}: ManagerListInput): ManagerStatus[] {
  const now = performance.now()
  const listed = [...roster.values()].map((entry): ManagerStatus => {
    const health = selection.health.get(entry.key)
    const foreign = identities.problemOf(entry.key)
    return {
      endpoint: entry.key,
      origin: entry.origin,
      current: entry.key === selection.current,
      state: foreign === null ? (health?.state ?? 'unknown') : 'down',
      healthyForMs: health?.state === 'healthy' ? Math.round(now - health.since) : null,
      lastError: foreign ?? health?.lastError ?? null,
      hostname: hostnames.get(entry.key) ?? null,
    }
  })
  // A name that cannot be looked up has no endpoint in the roster, so it is listed by itself.
  const unresolved = seeds.flatMap((seed): ManagerStatus[] => {
    const problem = seed.scheme === 'unix' ? undefined : problems.get(seed.host)
    if (problem === undefined || found.some(({ serverName }) => seed.scheme !== 'unix' && serverName === seed.host)) return []
    return [
      {
        endpoint: formatEndpoint(seed),
        origin: 'option',
        current: false,
        state: 'down',
        healthyForMs: null,
        lastError: problem,
        hostname: null,
      },
    ]
  })
  return [...listed, ...unresolved]
}
