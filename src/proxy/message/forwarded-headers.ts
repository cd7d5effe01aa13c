// X-Forwarded-For, -Proto, -Host, -Port, -Server and X-Real-Ip as Traefik sends them. From a trusted peer what it says is kept
// and added to; from anyone else every such field (and Forwarded, and spellings with underscores) is dropped and written anew.

import type { Exchange } from '../forward/exchange.ts'
import {
  DROPPED,
  FORWARDED_FOR,
  FORWARDED_HOST,
  FORWARDED_OTHER,
  FORWARDED_PORT,
  FORWARDED_PROTO,
  ID,
  REAL_IP,
  STRIDE,
} from './fields.ts'

/** Who the client of a connection is, and what servers are told of it. */
export interface Forwarded {
  readonly address: string
  /** Header lines to append; also marks what the client sent and what is replaced as dropped. */
  lines(x: Exchange): string
}

/** What is the same for all requests of one client connection. */
export class ForwardedContext implements Forwarded {
  readonly address: string
  readonly proto: 'http' | 'https'
  readonly server: string
  readonly trusted: boolean
  private lastAuthority: string | null = null
  private lastLines = ''

  constructor(address: string, proto: 'http' | 'https', server: string, trusted: boolean) {
    this.address = address
    this.proto = proto
    this.server = server
    this.trusted = trusted
  }

  lines(x: Exchange): string {
    return this.trusted ? this.trustedLines(x) : this.ownLines(x)
  }

  private ownLines(x: Exchange): string {
    const { at, count } = x.req
    for (let o = 0; o < count * STRIDE; o += STRIDE) {
      const id = at[o + ID]!
      if (id >= FORWARDED_FOR && id <= FORWARDED_OTHER) at[o + DROPPED] = 1
    }
    if (x.upgrade) {
      const proto = this.protoOf(x)
      return this.format(this.address, x.authority, portOf(x.authority, proto), proto, this.address)
    }
    if (x.authority !== this.lastAuthority) {
      this.lastAuthority = x.authority
      this.lastLines = this.format(this.address, x.authority, portOf(x.authority, this.proto), this.proto, this.address)
    }
    return this.lastLines
  }

  private trustedLines(x: Exchange): string {
    const req = x.req
    req.drop('x-forwarded-server')
    let chain = ''
    let host = x.authority
    let port = ''
    let proto = this.protoOf(x)
    let realIp = ''
    for (let n = 0; n < req.count; n++) {
      const o = n * STRIDE
      const id = req.at[o + ID]!
      if (id < FORWARDED_FOR || id > REAL_IP) continue
      const value = req.value(n)
      req.at[o + DROPPED] = 1
      if (value === '') continue
      if (id === FORWARDED_FOR) chain = chain === '' ? value : `${chain}, ${value}`
      else if (id === FORWARDED_PROTO) proto = value
      else if (id === FORWARDED_HOST) host = value
      else if (id === FORWARDED_PORT) port = value
      else realIp = value
    }
    if (port === '') port = portOf(x.authority, proto)
    return this.format(
      chain === '' ? this.address : `${chain}, ${this.address}`,
      host,
      port,
      proto,
      realIp === '' ? this.address : realIp,
    )
  }

  /** As Traefik tells it: a WebSocket comes by ws or wss. */
  private protoOf(x: Exchange): string {
    if (!x.upgrade || x.upgradeTo.toLowerCase() !== 'websocket') return this.proto
    return this.proto === 'https' ? 'wss' : 'ws'
  }

  private format(chain: string, host: string, port: string, proto: string, realIp: string): string {
    return (
      `X-Forwarded-For: ${chain}\r\nX-Forwarded-Host: ${host}\r\nX-Forwarded-Port: ${port}\r\n` +
      `X-Forwarded-Proto: ${proto}\r\nX-Forwarded-Server: ${this.server}\r\nX-Real-Ip: ${realIp}\r\n`
    )
  }
}

/** The port the client meant: that of the Host field, else its scheme's. Our own may be another one behind a published port. */
function portOf(authority: string, proto: string): string {
  const colon = authority.lastIndexOf(':')
  if (colon > authority.lastIndexOf(']') && colon < authority.length - 1) return authority.slice(colon + 1)
  return proto === 'https' || proto === 'wss' ? '443' : '80'
}
