// Lists of trusted peers: those whose X-Forwarded-* headers are kept, and those that send PROXY headers. A list of CIDR ranges
// becomes a predicate with a small cache, since the same few peers connect again and again. IPv4-mapped IPv6 addresses
// (::ffff:10.0.0.1, as dual-stack sockets report them) count as IPv4.

import { BlockList, isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

/** Size of each of the two generations of the cache: memory is bounded for any number of clients. */
const GENERATION_SIZE = 2048

/** One list per family: in a common list a short IPv6 prefix such as ::/0 would match the IPv4-mapped form of every IPv4 address. */
interface Ranges {
  readonly ipv4: BlockList
  readonly ipv6: BlockList
}

/**
 * Returns a predicate: is an address, as sockets report it, within one of the ranges? With `insecure` it is always true. Entries
 * that are not addresses or CIDR ranges match nothing; options are validated before (options/kinds.ts, isCidr).
 */
export function compileTrusted(list: readonly string[], insecure: boolean): (address: string) => boolean {
  if (insecure) return () => true
  const ranges: Ranges = { ipv4: new BlockList(), ipv6: new BlockList() }
  let empty = true
  for (const text of list) if (addRange(ranges, text)) empty = false
  if (empty) return () => false
  return cached(address => {
    const parsed = parseAddress(address)
    return parsed !== null && ranges[parsed.kind()].check(parsed.toString(), parsed.kind())
  })
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

function familyOf(address: string): 'ipv4' | 'ipv6' | null {
  const kind = isIP(address)
  return kind === 0 ? null : kind === 4 ? 'ipv4' : 'ipv6'
}

function parseAddress(text: string): ipaddr.IPv4 | ipaddr.IPv6 | null {
  const zone = text.indexOf('%')
  const bare = zone === -1 ? text : text.slice(0, zone)
  if (isIP(bare) === 0) return null
  return ipaddr.process(bare)
}

/** False when the text is not an address or a CIDR range. */
function addRange(ranges: Ranges, text: string): boolean {
  const slash = text.indexOf('/')
  const address = slash === -1 ? text : text.slice(0, slash)
  const family = address.includes('%') ? null : familyOf(address)
  if (family === null) return false
  const longest = family === 'ipv4' ? 32 : 128
  const bits = slash === -1 ? longest : parseBits(text.slice(slash + 1))
  if (bits === null || bits > longest) return false
  const mapped = family === 'ipv6' && bits >= 96 ? parseAddress(address) : null
  if (mapped?.kind() === 'ipv4') ranges.ipv4.addSubnet(mapped.toString(), bits - 96, 'ipv4')
  else ranges[family].addSubnet(address, bits, family)
  return true
}

function parseBits(text: string): number | null {
  if (text.length === 0 || text.length > 3 || (text.length > 1 && text.startsWith('0'))) return null
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) < 48 || text.charCodeAt(i) > 57) return null
  return Number(text)
}
