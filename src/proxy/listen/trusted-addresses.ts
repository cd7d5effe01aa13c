// Lists of trusted peers: those whose X-Forwarded-* headers are kept, and those that send PROXY headers. A list of CIDR ranges
// becomes a predicate with a small cache, since the same few peers connect again and again. IPv4-mapped IPv6 addresses
// (::ffff:10.0.0.1, as dual-stack sockets report them) count as IPv4.

import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

/** Size of each of the two generations of the cache: memory is bounded for any number of clients. */
const GENERATION_SIZE = 2048

type Range = readonly [ipaddr.IPv4 | ipaddr.IPv6, number]

/**
 * Returns a predicate: is an address, as sockets report it, within one of the ranges? With `insecure` it is always true. Entries
 * that are not addresses or CIDR ranges match nothing; options are validated before (options/kinds.ts, isCidr).
 */
export function compileTrusted(list: readonly string[], insecure: boolean): (address: string) => boolean {
  if (insecure) return () => true
  const ranges: Range[] = []
  for (const text of list) {
    const range = parseCidr(text)
    if (range !== null) ranges.push(range)
  }
  if (ranges.length === 0) return () => false
  return cached(address => isWithin(address, ranges))
}

/** Canonical form of an address: an IPv4-mapped one as IPv4, IPv6 in canonical spelling without a zone; null if malformed. */
export function canonicalAddress(address: string): string | null {
  return parseAddress(address)?.toString() ?? null
}

/** The remote address of a socket, an IPv4-mapped one as IPv4; '' when the socket is already closed. */
export function unmapped(address: string | undefined): string {
  if (address === undefined) return ''
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address
}

function cached(decide: (address: string) => boolean): (address: string) => boolean {
  let young = new Map<string, boolean>()
  let old = new Map<string, boolean>()
  return address => {
    const known = young.get(address)
    if (known !== undefined) return known
    const answer = old.get(address) ?? decide(address)
    if (young.size >= GENERATION_SIZE) {
      old = young
      young = new Map()
    }
    young.set(address, answer)
    return answer
  }
}

function isWithin(address: string, ranges: readonly Range[]): boolean {
  const parsed = parseAddress(address)
  if (parsed === null) return false
  for (const [network, bits] of ranges) {
    if (network.kind() === parsed.kind() && parsed.match(network, bits)) return true
  }
  return false
}

function parseAddress(text: string): ipaddr.IPv4 | ipaddr.IPv6 | null {
  const zone = text.indexOf('%')
  const bare = zone === -1 ? text : text.slice(0, zone)
  if (isIP(bare) === 0) return null
  return ipaddr.process(bare)
}

function parseCidr(text: string): Range | null {
  const slash = text.indexOf('/')
  const address = slash === -1 ? text : text.slice(0, slash)
  if (address.includes('%')) return null
  const kind = isIP(address)
  if (kind === 0) return null
  const longest = kind === 4 ? 32 : 128
  const bits = slash === -1 ? longest : parseBits(text.slice(slash + 1))
  if (bits === null || bits > longest) return null
  const parsed = ipaddr.parse(address)
  if (parsed instanceof ipaddr.IPv6 && parsed.isIPv4MappedAddress() && bits >= 96) return [parsed.toIPv4Address(), bits - 96]
  return [parsed, bits]
}

function parseBits(text: string): number | null {
  if (text.length === 0 || text.length > 3 || (text.length > 1 && text.startsWith('0'))) return null
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) < 48 || text.charCodeAt(i) > 57) return null
  return Number(text)
}
