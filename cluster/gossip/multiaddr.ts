// Conversion of `host:port` with an IP literal (`[::1]:7946` for IPv6), as used in messages, to and from libp2p's multiaddr.
// Pure.

import { isIP, isIPv6 } from 'node:net'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'

export interface HostPort {
  readonly host: string
  readonly port: number
}

export function formatAddress({ host, port }: HostPort): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`
}

/** null: not an IP literal with a port from 1 to 65535. */
export function parseAddress(text: string): HostPort | null {
  const match = /^(?:\[([0-9a-fA-F:.]{2,45})\]|([0-9.]{7,15})):([0-9]{1,5})$/.exec(text)
  if (match === null) return null
  const host = match[1] ?? match[2]!
  const port = Number(match[3])
  const family = isIP(host)
  if (port < 1 || port > 65535 || family !== (match[1] === undefined ? 4 : 6)) return null
  return { host, port }
}

export function toMultiaddr({ host, port }: HostPort): Multiaddr {
  return multiaddr(`/ip${isIPv6(host) ? 6 : 4}/${host}/tcp/${port}`)
}

/** The IP and TCP part of a multiaddr as `host:port`; its text form when it has none. */
export function fromMultiaddr(address: Multiaddr): string {
  const parts = address.getComponents()
  const host = parts.find(part => part.name === 'ip4' || part.name === 'ip6')?.value
  const port = parts.find(part => part.name === 'tcp')?.value
  return host === undefined || port === undefined ? address.toString() : formatAddress({ host, port: Number(port) })
}
