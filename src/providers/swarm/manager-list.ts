// The managers as GET /api/managers shows them. Pure but for the clock.

import { type Endpoint, formatEndpoint } from '../docker-api/endpoint.ts'
import type { ManagerStatus } from '../shared/provider.ts'
import type { SeedEndpoint } from './endpoint-addresses.ts'
import type { SelectionState } from './manager-selection.ts'
import type { RosterEntry } from './roster.ts'
import type { SwarmIdentities } from './swarm-identity.ts'

export interface ManagerListInput {
  readonly roster: ReadonlyMap<string, RosterEntry>
  readonly failover: SelectionState
  readonly hostnames: ReadonlyMap<string, string>
  /** As the options name them; and what became of them. */
  readonly seeds: readonly Endpoint[]
  readonly found: readonly SeedEndpoint[]
  /** Names that cannot be looked up, and why. */
  readonly problems: ReadonlyMap<string, string>
  readonly swarms: Pick<SwarmIdentities, 'problemOf'>
}

export function listManagers({ roster, failover, hostnames, seeds, found, problems, swarms }: ManagerListInput): ManagerStatus[] {
  const now = performance.now()
  const listed = [...roster.values()].map((entry): ManagerStatus => {
    const health = failover.health.get(entry.key)
    const foreign = swarms.problemOf(entry.key)
    return {
      endpoint: entry.key,
      origin: entry.origin,
      current: entry.key === failover.current,
      state: foreign === null ? (health?.state ?? 'unknown') : 'down',
      healthyForMs: health?.state === 'healthy' ? Math.round(now - health.since) : null,
      lastError: foreign ?? health?.lastError ?? null,
      hostname: hostnames.get(entry.key) ?? null,
    }
  })
  // A name that cannot be looked up has no address to list, and would be missed.
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
