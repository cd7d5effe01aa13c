// The addresses and networks of this machine: announced to other members, and used to recognize this member's own address. Pure
// when the list of interfaces is handed in.

import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os'
import { LIMITS } from '../core/state.ts'
import { formatAddress, type HostPort } from './multiaddr.ts'

export interface InterfaceAddress {
  readonly address: string
  readonly family: 4 | 6
  readonly internal: boolean
}

export function interfaceAddresses(): readonly InterfaceAddress[] {
  return Object.values(networkInterfaces())
    .flatMap(list => list ?? [])
    .filter(each => !each.address.toLowerCase().startsWith('fe80:'))
    .map(each => ({ address: each.address, family: each.family === 'IPv6' ? 6 : 4, internal: each.internal }))
}

/**
 * The networks of this machine or container: interface addresses with prefix lengths (`10.0.1.7/24`), sorted, without loopback
 * and link-local ones. Networks behind a default route do not count: in a container it leads through docker_gwbridge, which
 * reaches no overlay network.
 */
export function interfaceNetworks(
  interfaces: Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>> = networkInterfaces(),
): readonly string[] {
  const cidrs = Object.values(interfaces).flatMap(list =>
    (list ?? []).flatMap(({ internal, cidr }) =>
      internal || cidr === null || cidr.toLowerCase().startsWith('fe80:') ? [] : [cidr],
    ),
  )
  return [...new Set(cidrs)].sort()
}

const isWildcard = (host: string): boolean => host === '0.0.0.0' || host === '::'

/** True when a connection to this address reaches the socket that listens there. */
export function isOwnAddress(address: HostPort, listen: HostPort, interfaces = interfaceAddresses()): boolean {
  if (address.port !== listen.port) return false
  if (!isWildcard(listen.host)) return address.host === listen.host
  return address.host.startsWith('127.') || interfaces.some(each => each.address === address.host)
}

/**
 * `host:port` where others can reach a socket that listens there, best first: the advertised addresses; otherwise the listening
 * address, or for a wildcard those of the interfaces, IPv4 first (loopback only when there is no other).
 */
export function reachableAddresses(
  listen: HostPort,
  advertise: readonly string[],
  interfaces = interfaceAddresses(),
): readonly string[] {
  const hosts = advertise.length > 0 ? advertise : isWildcard(listen.host) ? ofInterfaces(listen.host, interfaces) : [listen.host]
  return [...new Set(hosts.map(host => formatAddress({ host, port: listen.port })))].slice(0, LIMITS.addresses)
}

function ofInterfaces(wildcard: string, interfaces: readonly InterfaceAddress[]): readonly string[] {
  const usable = interfaces.filter(each => each.family === 4 || wildcard === '::')
  const outward = usable.filter(each => !each.internal)
  const list = outward.length > 0 ? outward : usable
  return [...list].sort((a, b) => a.family - b.family).map(each => each.address)
}
