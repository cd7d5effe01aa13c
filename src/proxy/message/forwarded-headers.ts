// X-Forwarded-For, -Proto, -Host, -Port, -Server and X-Real-Ip as Traefik sends them. Fields of a trusted peer are kept and
// extended. Fields of any other peer (also Forwarded, and spellings with underscores) are dropped and replaced.

import { FieldList } from './field-list.ts'
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
import type { Head } from './head.ts'

/** The part of a request that the forwarded fields depend on. */
export interface ForwardedRequest {
  readonly req: Head
  /** The Host field, with its port. */
  readonly authority: string
  /** The protocols that the client asks to switch to; '' for none. */
  readonly upgradeTo: string
}

/** The address of a client, and the fields that pass it to servers. */
export interface Forwarded {
  readonly address: string
  /** The fields to add. Marks the received fields that they replace as dropped. */
  fields(x: ForwardedRequest): FieldList
}

/** The part that is the same for all requests of one client connection. */
export class ForwardedContext implements Forwarded {
  readonly address: string
  readonly proto: 'http' | 'https'
  readonly server: string
  readonly trusted: boolean
  private lastAuthority: string | null = null
  private lastFields: FieldList | null = null

  /** `server` is the name of this replica. `trusted`: the fields that the peer sends are kept. */
  constructor(address: string, proto: 'http' | 'https', server: string, trusted: boolean) {
    this.address = address
    this.proto = proto
    this.server = server
    this.trusted = trusted
  }

  fields(x: ForwardedRequest): FieldList {
    return this.trusted ? this.trustedFields(x) : this.replacedFields(x)
  }

  private replacedFields(x: ForwardedRequest): FieldList {
    const { at, count } = x.req
    for (let o = 0; o < count * STRIDE; o += STRIDE) {
      const id = at[o + ID]!
      if (id >= FORWARDED_FOR && id <= FORWARDED_OTHER) at[o + DROPPED] = 1
    }
    const { authority } = x
    if (x.upgradeTo !== '') {
      const proto = this.protoOf(x)
      return this.build(this.address, authority, portOf(authority, proto), proto, this.address)
    }
    if (this.lastFields === null || authority !== this.lastAuthority) {
      this.lastAuthority = authority
      this.lastFields = this.build(this.address, authority, portOf(authority, this.proto), this.proto, this.address)
    }
    return this.lastFields
  }

  private trustedFields(x: ForwardedRequest): FieldList {
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
    return this.build(
      chain === '' ? this.address : `${chain}, ${this.address}`,
      host,
      port,
      proto,
      realIp === '' ? this.address : realIp,
    )
  }

  /** The scheme as Traefik sends it: ws or wss for a WebSocket. */
  private protoOf(x: ForwardedRequest): string {
    if (x.upgradeTo === '' || x.upgradeTo.toLowerCase() !== 'websocket') return this.proto
    return this.proto === 'https' ? 'wss' : 'ws'
  }

  private build(chain: string, host: string, port: string, proto: string, realIp: string): FieldList {
    return new FieldList(
      'X-Forwarded-For',
      chain,
      'X-Forwarded-Host',
      host,
      'X-Forwarded-Port',
      port,
      'X-Forwarded-Proto',
      proto,
      'X-Forwarded-Server',
      this.server,
      'X-Real-Ip',
      realIp,
    )
  }
}

/** The port of the Host field, else the default of the scheme. Skein's own port may differ, behind a published one. */
function portOf(authority: string, proto: string): string {
  const colon = authority.lastIndexOf(':')
  if (colon > authority.lastIndexOf(']') && colon < authority.length - 1) return authority.slice(colon + 1)
  return proto === 'https' || proto === 'wss' ? '443' : '80'
}
