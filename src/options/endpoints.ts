// Kinds of values with their own syntax: entry points (`web=:80,forwardedHeaders.trustedIPs=10.0.0.0/8`), managers' endpoints
// (`tcp://10.0.0.1:2376`) and the peers of a cluster (`tasks.edge:7998`). All have a text form, for flags and environment variables;
// entry points also have a structured form, for files.

import { isIP } from 'node:net'
import { z } from 'zod'
import { ENTRY_POINT_NAME } from '../config/entry-points.ts'
import { hostAndPort } from '../util/listen-address.ts'
import { type HostPort, isCidr, type Kind, parseHostPort, splitList } from './kinds.ts'
import type { EntryPointOptions } from './options.ts'

const ATTRIBUTES =
  'forwardedHeaders.trustedIPs, forwardedHeaders.insecure, proxyProtocol.trustedIPs, proxyProtocol.insecure or ping'
/** Compared with the request's path, so without a query, dot segments or encoded characters. */
const PING = /^(?:\/[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,62}){1,8}$/
const PING_EXPECTED = 'a path such as /ping'

const trust = z.strictObject({
  trustedIPs: z.array(z.string().refine(isCidr, 'an address or a CIDR such as 10.0.0.0/8')).max(1024).default([]),
  insecure: z.boolean('true or false').default(false),
})
const ADDRESS = 'an address such as :80 or 127.0.0.1:8080, port 1 to 65535'
const listenAddress = (expected: string) =>
  z
    .string(expected)
    .regex(/^.*:\d+$/, expected)
    .refine(text => (parseHostPort(text)?.port ?? 0) > 0, expected)
const structured = z.strictObject({
  address: listenAddress(ADDRESS),
  forwardedHeaders: trust.optional(),
  proxyProtocol: trust.optional(),
  ping: z.string(PING_EXPECTED).regex(PING, PING_EXPECTED).optional(),
})
const byName = z.record(
  z.string().regex(ENTRY_POINT_NAME, 'a name of letters, digits, - and _'),
  z.union([listenAddress(`${ADDRESS}, or a map with address, forwardedHeaders, proxyProtocol and ping`), structured]),
)

type Structured = z.output<typeof structured>
const NO_TRUST = { trustedIPs: [], insecure: false }

function build(name: string, spec: string | Structured): EntryPointOptions {
  const { address, forwardedHeaders, proxyProtocol, ping } = (typeof spec === 'string' ? { address: spec } : spec) as Structured
  const { host, port } = parseHostPort(address) as { host: string; port: number }
  return {
    name,
    host,
    port,
    forwardedHeaders: forwardedHeaders ?? NO_TRUST,
    proxyProtocol: proxyProtocol ?? NO_TRUST,
    ...(ping === undefined ? {} : { ping }),
  }
}

/**
 * Parses `NAME=HOST:PORT[,attribute=value...]`; lists of addresses are joined by `+`. An empty host means all addresses.
 * Returns the entry point, or what was expected instead.
 */
export function parseEntryPoint(text: string): EntryPointOptions | string {
  const [head = '', ...attributes] = splitList(text)
  const equals = head.indexOf('=')
  const name = head.slice(0, Math.max(equals, 0))
  const address = parseHostPort(head.slice(equals + 1))
  if (equals < 0 || !ENTRY_POINT_NAME.test(name)) return 'NAME=HOST:PORT such as web=:80 (a name of letters, digits, - and _)'
  if (address === null || address.port === 0) return 'NAME=HOST:PORT such as web=:80 (port 1 to 65535)'
  const forwarded = { trustedIPs: [] as string[], insecure: false }
  const proxy = { trustedIPs: [] as string[], insecure: false }
  let ping: string | undefined
  for (const attribute of attributes) {
    const at = attribute.indexOf('=')
    const key = (at < 0 ? attribute : attribute.slice(0, at)).toLowerCase()
    const value = at < 0 ? '' : attribute.slice(at + 1)
    const target = key.startsWith('forwardedheaders.') ? forwarded : key.startsWith('proxyprotocol.') ? proxy : null
    if (target !== null && key.endsWith('.trustedips')) {
      const addresses = value.split('+').map(item => item.trim())
      const wrong = addresses.find(item => !isCidr(item))
      if (wrong !== undefined)
        return `addresses or CIDRs joined by + after ${attribute.slice(0, at)}= (got ${JSON.stringify(wrong)})`
      target.trustedIPs.push(...addresses)
    } else if (target !== null && key.endsWith('.insecure')) {
      if (value !== 'true' && value !== 'false' && at >= 0) return `true or false after ${attribute.slice(0, at)}=`
      target.insecure = value !== 'false'
    } else if (key === 'ping') {
      if (!PING.test(value)) return `${PING_EXPECTED} after ping= (got ${JSON.stringify(value)})`
      ping = value
    } else {
      return `${ATTRIBUTES} after the address (got ${JSON.stringify(attribute)})`
    }
  }
  return { name, ...address, forwardedHeaders: forwarded, proxyProtocol: proxy, ...(ping === undefined ? {} : { ping }) }
}

/** `web=:80,proxyProtocol.insecure=true,alt=:81`: an item without an address belongs to the entry point before it. */
function splitEntryPoints(text: string): string[] {
  const found: string[] = []
  for (const item of splitList(text)) {
    if (found.length === 0 || /^[^=.]*=.*:[^:]*$/.test(item)) found.push(item)
    else found[found.length - 1] += `,${item}`
  }
  return found
}

export function entryPointsKind(): Kind<EntryPointOptions[]> {
  const texts = z.array(z.string()).max(64)
  return {
    schema: z.union([texts, byName]).transform((value, context) => {
      if (!Array.isArray(value)) return Object.entries(value).map(([name, spec]) => build(name, spec))
      const parsed: EntryPointOptions[] = []
      for (const [index, text] of value.entries()) {
        const entryPoint = parseEntryPoint(text)
        if (typeof entryPoint === 'string') context.addIssue({ code: 'custom', message: entryPoint, input: text, path: [index] })
        else parsed.push(entryPoint)
      }
      return parsed
    }),
    expected: 'NAME=HOST:PORT such as web=:80, or in a file a map of names to addresses',
    placeholder: 'NAME=HOST:PORT[,...]',
    list: true,
    fromText: splitEntryPoints,
  }
}

/** One line about two entry points that conflict; null if there is no conflict. A wildcard address conflicts with every address. */
export function entryPointConflict(entryPoints: readonly EntryPointOptions[]): string | null {
  const names = new Set<string>()
  const addresses = new Map<string, string>()
  for (const { name, host, port } of entryPoints) {
    if (names.has(name)) return `two entry points are named ${JSON.stringify(name)}, expected unique names`
    names.add(name)
    const address = hostAndPort(isWildcard(host) ? '' : host, port)
    const other = addresses.get(address)
    if (other !== undefined)
      return `${JSON.stringify(other)} and ${JSON.stringify(name)} both listen on ${address}, expected different addresses`
    addresses.set(address, name)
  }
  return null
}

/** True for a host that means all addresses of this machine. */
export function isWildcard(host: string): boolean {
  return host === '' || host === '::' || host === '0.0.0.0'
}

const ENDPOINT = 'unix:///PATH, tcp://HOST:PORT or agent://HOST:PORT'

/** A manager's endpoint in normal form, with its port; null if it is invalid. Default ports: tcp 2375 (2376 with TLS), agent 7999. */
export function parseManager(text: string, tls: boolean): string | null {
  const unix = /^unix:\/\/(\/[^\s?#]{1,4095})$/.exec(text)
  if (unix !== null) return `unix://${unix[1]}`
  const network = /^(tcp|agent):\/\/([^\s/]{1,300})\/?$/.exec(text)
  if (network === null) return null
  const scheme = network[1] as string
  const authority = network[2] as string
  const withPort =
    /:\d+$/.test(authority) && !/^\[[^\]]*$/.test(authority)
      ? authority
      : `${authority}:${scheme === 'agent' ? 7999 : tls ? 2376 : 2375}`
  const address = parseHostPort(withPort)
  if (address === null || address.host === '' || address.port === 0) return null
  return `${scheme}://${hostAndPort(address.host, address.port)}`
}

export function managersKind(): Kind<string[]> {
  return {
    schema: z.array(z.string().refine(text => parseManager(text, false) !== null, ENDPOINT)).max(256),
    expected: ENDPOINT,
    placeholder: 'ENDPOINT',
    list: true,
    fromText: splitList,
  }
}

/** The default port of a cluster's members. */
export const CLUSTER_PORT = 7998

const PEER = `HOST or HOST:PORT such as tasks.edge:${CLUSTER_PORT}, 10.0.0.5 or [fd00::5]:${CLUSTER_PORT}`

/** A DNS name or an address, with a port or without (then CLUSTER_PORT); null if it is invalid. */
export function parsePeer(text: string): HostPort | null {
  const peer = /:\d*$/.test(text) && !text.endsWith(']') ? parseHostPort(text) : parseHostPort(`${text}:${CLUSTER_PORT}`)
  return peer === null || peer.host === '' || peer.port === 0 || isWildcard(peer.host) ? null : peer
}

/** Distinct peers. */
export function peersKind(): Kind<HostPort[]> {
  return {
    schema: z
      .array(z.string().refine(text => parsePeer(text) !== null, PEER))
      .max(256)
      .transform(texts => [
        ...new Map(
          texts.map(text => {
            const peer = parsePeer(text) as HostPort
            return [hostAndPort(peer.host, peer.port), peer] as const
          }),
        ).values(),
      ]),
    expected: PEER,
    placeholder: 'HOST:PORT',
    list: true,
    fromText: splitList,
  }
}

/** Addresses that a member can announce (LIMITS.addresses of cluster/core/state.ts). */
const MAX_ADDRESSES = 8
const ADDRESS_EXPECTED = `an IP address such as 10.0.0.5 or fd00::5, at most ${MAX_ADDRESSES} of them`

/** IP addresses without a port; IPv6 with or without brackets. */
export function addressListKind(): Kind<string[]> {
  const bare = (text: string): string => text.replace(/^\[(.*)\]$/, '$1').toLowerCase()
  return {
    schema: z
      .array(
        z.string().refine(text => isIP(bare(text)) !== 0 && !text.includes('%') && !isWildcard(bare(text)), ADDRESS_EXPECTED),
      )
      .max(MAX_ADDRESSES)
      .transform(texts => [...new Set(texts.map(bare))]),
    expected: ADDRESS_EXPECTED,
    placeholder: 'ADDRESS',
    list: true,
    fromText: splitList,
  }
}
