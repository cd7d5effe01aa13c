// Endpoints of Swarm managers as users write them: `unix:///path`, `tcp://host:port`, `agent://host:port`. Pure: text to value
// and back. A host may be a DNS name; swarm/endpoint-addresses.ts resolves it.

import { isIP } from 'node:net'

export type Endpoint =
  | { readonly scheme: 'unix'; readonly path: string }
  | {
      readonly scheme: 'tcp' | 'agent'
      /** An address (IPv6 without brackets) or a DNS name, lower case. */
      readonly host: string
      readonly port: number
    }

export type ParsedEndpoint = { readonly ok: true; readonly endpoint: Endpoint } | { readonly ok: false; readonly message: string }

const EXPECTED = 'expected unix:///path, tcp://host:port or agent://host:port'
const HOST = /^[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?\.?$/

/** Parses one endpoint. The message of a failure says what was found and expected, without the name of the option. */
export function parseEndpoint(text: string): ParsedEndpoint {
  const failure = (why: string): ParsedEndpoint => ({ ok: false, message: `${JSON.stringify(text.slice(0, 200))}: ${why}` })
  const split = /^([a-z]+):\/\/(.*)$/s.exec(text)
  const [, scheme, rest] = split ?? []
  if (scheme === undefined || rest === undefined) return failure(EXPECTED)
  if (scheme === 'unix') {
    if (!rest.startsWith('/') || rest.length < 2)
      return failure('a unix socket needs an absolute path, as in unix:///var/run/docker.sock')
    if (rest.includes('\0') || Buffer.byteLength(rest) > 107) return failure('a unix socket path has at most 107 bytes')
    return { ok: true, endpoint: { scheme, path: rest } }
  }
  if (scheme !== 'tcp' && scheme !== 'agent') return failure(`unknown scheme ${scheme}://; ${EXPECTED}`)
  const authority = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:/[\]]+)):(\d{1,5})\/?$/.exec(rest)
  if (authority === null) return failure(`expected ${scheme}://host:port`)
  const [, bracketed, plain, portText] = authority
  const host = (bracketed ?? plain ?? '').toLowerCase()
  if (bracketed === undefined ? isIP(host) !== 4 && !HOST.test(host) : isIP(host) !== 6)
    return failure(`${host} is neither an address nor a host name`)
  const port = Number(portText)
  if (port < 1 || port > 65535) return failure('expected a port from 1 to 65535')
  return { ok: true, endpoint: { scheme, host, port } }
}

/** The endpoint as users write it. Equal texts mean equal endpoints. */
export function formatEndpoint(endpoint: Endpoint): string {
  if (endpoint.scheme === 'unix') return `unix://${endpoint.path}`
  const host = endpoint.host.includes(':') ? `[${endpoint.host}]` : endpoint.host
  return `${endpoint.scheme}://${host}:${endpoint.port}`
}

/** True when the host is a DNS name. */
export function needsLookup(endpoint: Endpoint): endpoint is Endpoint & { scheme: 'tcp' | 'agent' } {
  return endpoint.scheme !== 'unix' && isIP(endpoint.host) === 0
}
