// Derives the peers through which data workers may relay requests from the members of the cluster. Pure.

import { isIP } from 'node:net'
import type { Member } from '../../cluster/core/state.ts'
import type { RelayPeer } from '../workers/messages.ts'

/**
 * The members that accept relayed requests; suspected members only if no other is left. A member's node address comes before the
 * addresses that it announces, because overlay networks fail more often than node networks.
 *
 * @param members the other members of the cluster
 * @param nodeAddress IP address of the node that runs the replica with this name, if known
 */
export function relayPeersOf(members: readonly Member[], nodeAddress: (name: string) => string | undefined): RelayPeer[] {
  const usable = members.filter(({ relay, unreachableAll }) => relay.length > 0 && !unreachableAll)
  const alive = usable.filter(({ state }) => state === 'alive')
  return (alive.length > 0 ? alive : usable).map(({ id, name, relay, unreachable }): RelayPeer => {
    const announced = relay.flatMap(text => parseIpAndPort(text) ?? [])
    const host = nodeAddress(name)
    const node = host === undefined || announced[0] === undefined ? [] : [{ host, port: announced[0].port }]
    return { id, name, addresses: [...node, ...announced.filter(address => address.host !== host)], unreachable }
  })
}

/** `10.0.0.1:7997` or `[::1]:7997`; undefined for anything else. */
export function parseIpAndPort(text: string): { readonly host: string; readonly port: number } | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text)
  const host = match?.[1] ?? match?.[2]
  return host === undefined || isIP(host) === 0 ? undefined : { host, port: Number(match?.[3]) }
}
