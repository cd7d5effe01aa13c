// Discovery of peers: static addresses, and DNS names that are looked up every few seconds and may have many addresses
// (`tasks.edge`). When a lookup fails, the last good answer is kept. Addresses of other processes do no harm, because these
// cannot complete the handshake.

import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { LIMITS } from '../core/state.ts'
import { type ClusterLog, reasonOf } from '../log.ts'
import { formatAddress, type HostPort } from './multiaddr.ts'

/** All addresses of a name. Rejects when there is no answer. */
export type Lookup = (host: string) => Promise<readonly string[]>

export interface Discovery {
  /** Looks up all names now. Resolves after `found` has been called for any change. */
  refresh(): Promise<void>
  stop(): void
}

const LOOKUP_INTERVAL_MS = 3_000
/** A lookup is abandoned after this time, so that a hanging resolver does not delay other names, ms. */
export const LOOKUP_TIMEOUT_MS = 5_000

export const systemLookup: Lookup = async host => (await lookup(host, { all: true })).map(answer => answer.address)

/**
 * Deduplicates concurrent lookups of a name. The system's resolver has few threads, and an unanswered query blocks one for ten
 * seconds; queued queries would delay the answer once the resolver works again.
 */
export function deduplicate(resolve: Lookup): Lookup {
  const open = new Map<string, Promise<readonly string[]>>()
  return host => {
    const running = open.get(host) ?? resolve(host).finally(() => open.delete(host))
    open.set(host, running)
    return running
  }
}

/**
 * Watches the configured peers. `found` receives the whole list (`host:port`, sorted, at most LIMITS.members) at once and after
 * every change. A name that cannot be looked up is logged once, and again when it can.
 */
export function watchPeers(
  peers: readonly HostPort[],
  resolve: Lookup,
  found: (addresses: readonly string[], names: ReadonlyMap<string, string>) => void,
  log: ClusterLog,
): Discovery {
  const answers = new Map<string, readonly string[]>()
  const failing = new Set<string>()
  const names = [...new Set(peers.map(peer => peer.host).filter(host => isIP(host) === 0))]
  const ask = deduplicate(resolve)
  const busy = new Map<string, Promise<void>>()
  let last: string | null = null
  let stopped = false

  /**
   * Lookups of one name never overlap, even if one takes longer than the interval. Each answer is reported at once, so that a
   * hanging resolver delays no other name.
   */
  async function refresh(): Promise<void> {
    await Promise.all(
      names.map(host => {
        const running = busy.get(host) ?? lookUp(host).finally(() => busy.delete(host))
        busy.set(host, running)
        return running
      }),
    )
  }

  function report(): void {
    if (stopped) return
    const list = expand(peers, answers)
    const text = list.join()
    if (text === last) return
    last = text
    found(list, namesOf(peers, answers))
  }

  async function lookUp(host: string): Promise<void> {
    try {
      const addresses = (await within(ask(host), LOOKUP_TIMEOUT_MS)).filter(address => isIP(address) !== 0)
      if (addresses.length === 0) throw new Error('no address')
      answers.set(host, [...new Set(addresses)].sort().slice(0, LIMITS.members))
      report()
      if (failing.delete(host) && !stopped) log.info({ peer: host }, `the peer name ${host} can be looked up again`)
    } catch (error) {
      if (failing.has(host) || stopped) return
      failing.add(host)
      const kept = answers.has(host) ? 'using its last addresses' : 'it provides no peers until then'
      log.warn({ peer: host, err: reasonOf(error) }, `the peer name ${host} cannot be looked up; ${kept}`)
    }
  }

  report()
  const timer = names.length === 0 ? null : setInterval(() => void refresh(), LOOKUP_INTERVAL_MS)
  void refresh()
  return {
    refresh,
    stop() {
      stopped = true
      if (timer !== null) clearInterval(timer)
    },
  }
}

/** Replaces every name by its addresses; a name without an answer gives none. Pure. */
export function expand(peers: readonly HostPort[], answers: ReadonlyMap<string, readonly string[]>): readonly string[] {
  const list = peers.flatMap(({ host, port }) =>
    (isIP(host) === 0 ? (answers.get(host) ?? []) : [host]).map(address => formatAddress({ host: address, port })),
  )
  return [...new Set(list)].sort().slice(0, LIMITS.members)
}

/** The DNS name of each address (`host:port`). Pure. */
function namesOf(peers: readonly HostPort[], answers: ReadonlyMap<string, readonly string[]>): ReadonlyMap<string, string> {
  const names = new Map<string, string>()
  for (const { host, port } of peers)
    for (const address of answers.get(host) ?? []) names.set(formatAddress({ host: address, port }), host)
  return names
}

/** Rejects when the work takes longer than `ms`; the work itself continues. */
export async function within<T>(work: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms / 1000} s`)), ms)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
