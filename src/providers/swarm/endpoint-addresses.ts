// The addresses behind the endpoints of the options: names are looked up again every few seconds, every address is an endpoint
// of its own, and a failing DNS keeps the last answer. Spec: design, section 5.

import { lookup } from 'node:dns/promises'
import { deduplicate, LOOKUP_TIMEOUT_MS, within } from '../../../cluster/gossip/discovery.ts'
import { type Endpoint, formatEndpoint, needsLookup } from '../docker-api/endpoint.ts'

export interface SeedEndpoint {
  readonly endpoint: Endpoint
  readonly origin: 'option' | 'dns'
  /** The name in the options, for the certificate; null when the option is an address or a socket. */
  readonly serverName: string | null
}

/** All addresses of a name; rejects when there is no answer. */
export type Lookup = (host: string) => Promise<readonly string[]>

export interface SeedWatch {
  /** Looks everything up once, now; resolves when `found` has been called if anything changed. */
  refresh(): Promise<void>
  stop(): void
}

const LOOKUP_EVERY_MS = 5_000
/** More addresses than this behind one name are a mistake. */
const MAX_ADDRESSES = 64

export const systemLookup: Lookup = async host => (await lookup(host, { all: true })).map(answer => answer.address)

/**
 * Watches the endpoints of the options. `found` gets the whole list whenever it changes, `problem` a name that cannot be looked
 * up (null: it can again), once per change.
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
  const ask = deduplicate(resolve)
  const busy = new Map<string, Promise<void>>()
  let last: string | null = null
  let stopped = false

  /**
   * Lookups of one name never overlap, though one may take longer than the interval between them. Each answer is reported at
   * once, so that a name whose resolver hangs delays no other.
   */
  async function refresh(): Promise<void> {
    if (last === null) tell()
    await Promise.all(
      names.map(host => {
        const asked = busy.get(host) ?? lookUp(host).finally(() => busy.delete(host))
        busy.set(host, asked)
        return asked
      }),
    )
  }

  function tell(): void {
    if (stopped) return
    const list = expandSeeds(seeds, answers)
    const text = JSON.stringify(list)
    if (text === last) return
    last = text
    found(list)
  }

  async function lookUp(host: string): Promise<void> {
    try {
      const addresses = await within(ask(host), LOOKUP_TIMEOUT_MS)
      if (addresses.length === 0) throw new Error('no address')
      answers.set(host, [...new Set(addresses)].sort().slice(0, MAX_ADDRESSES))
      tell()
      if (failing.delete(host) && !stopped) problem(host, null)
    } catch (error) {
      if (failing.has(host) || stopped) return
      failing.add(host)
      problem(host, error instanceof Error ? error.message : String(error))
    }
  }

  const timer = names.length === 0 ? null : setInterval(() => void refresh(), LOOKUP_EVERY_MS)
  return {
    refresh,
    stop() {
      stopped = true
      if (timer !== null) clearInterval(timer)
    },
  }
}

/** Every seed with its name replaced by each of its addresses; a name without an answer gives none. Pure. */
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
