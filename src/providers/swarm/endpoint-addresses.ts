// Resolves the manager endpoints of the options. DNS names are looked up every few seconds, each address is an endpoint of its
// own, and a failed lookup keeps the last answer.

import { lookup } from 'node:dns/promises'
import { deduplicate, LOOKUP_TIMEOUT_MS, within } from '../../../cluster/gossip/discovery.ts'
import { type Endpoint, formatEndpoint, needsLookup } from '../docker-api/endpoint.ts'

export interface SeedEndpoint {
  readonly endpoint: Endpoint
  readonly origin: 'option' | 'dns'
  /** The DNS name in the options, for the certificate; null when the option is an address or a socket. */
  readonly serverName: string | null
}

/** Resolves to all addresses of a name; rejects when there is none. */
export type Lookup = (host: string) => Promise<readonly string[]>

export interface SeedWatch {
  /** Looks all names up now. Resolves after `found` was called, if anything changed. */
  refresh(): Promise<void>
  stop(): void
}

const LOOKUP_INTERVAL_MS = 5_000
/** Addresses used of one name. */
const MAX_ADDRESSES = 64

export const systemLookup: Lookup = async host => (await lookup(host, { all: true })).map(answer => answer.address)

/**
 * Watches the endpoints of the options. `found` gets the whole list whenever it changes; `problem` gets a name that cannot be
 * looked up, and null when it can be again.
 */
export function watchSeeds(
  seeds: readonly Endpoint[],
  resolve: Lookup,
  found: (endpoints: readonly SeedEndpoint[]) => void,
  problem: (host: string, message: string | null) => void,
): SeedWatch {
  const answers = new Map<string, readonly string[]>()
  const failing = new Set<string>()
  const names = [...new Set(seeds.filter(needsLookup).map(seed => seed.host))]
  const lookupOnce = deduplicate(resolve)
  const lookups = new Map<string, Promise<void>>()
  let last: string | null = null
  let stopped = false

  /**
   * Lookups of one name do not overlap, even when one takes longer than the interval. Each answer is reported at once, so a
   * slow resolver delays no other name.
   */
  async function refresh(): Promise<void> {
    if (last === null) reportChange()
    await Promise.all(
      names.map(host => {
        const asked = lookups.get(host) ?? lookUp(host).finally(() => lookups.delete(host))
        lookups.set(host, asked)
        return asked
      }),
    )
  }

  function reportChange(): void {
    if (stopped) return
    const list = expandSeeds(seeds, answers)
    const text = JSON.stringify(list)
    if (text === last) return
    last = text
    found(list)
  }

  async function lookUp(host: string): Promise<void> {
    try {
      const addresses = await within(lookupOnce(host), LOOKUP_TIMEOUT_MS)
      if (addresses.length === 0) throw new Error('no address')
      answers.set(host, [...new Set(addresses)].sort().slice(0, MAX_ADDRESSES))
      reportChange()
      if (failing.delete(host) && !stopped) problem(host, null)
    } catch (error) {
      if (failing.has(host) || stopped) return
      failing.add(host)
      problem(host, error instanceof Error ? error.message : String(error))
    }
  }

  const timer = names.length === 0 ? null : setInterval(() => void refresh(), LOOKUP_INTERVAL_MS)
  return {
    refresh,
    stop() {
      stopped = true
      if (timer !== null) clearInterval(timer)
    },
  }
}

/** Replaces each name by its addresses; a name without an answer gives no endpoint. Pure. */
export function expandSeeds(
  seeds: readonly Endpoint[],
  answers: ReadonlyMap<string, readonly string[]>,
): readonly SeedEndpoint[] {
  const list = new Map<string, SeedEndpoint>()
  const add = (seed: SeedEndpoint): void => {
    const key = formatEndpoint(seed.endpoint)
    if (!list.has(key)) list.set(key, seed)
  }
  for (const seed of seeds) {
    if (!needsLookup(seed)) add({ endpoint: seed, origin: 'option', serverName: null })
    else {
      for (const host of answers.get(seed.host) ?? []) {
        add({
          endpoint: { scheme: seed.scheme, host: host.toLowerCase(), port: seed.port },
          origin: 'dns',
          serverName: seed.host,
        })
      }
    }
  }
  return [...list.values()]
}
