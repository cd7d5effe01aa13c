// Parser of the PROXY protocol, versions 1 and 2, by which a balancer in front passes the client's addresses before the first
// byte of HTTP. Pure: takes all bytes received so far and returns the length of the header, a reason to refuse it, or that more
// bytes are needed. Strict and bounded. Specification: HAProxy, doc/proxy-protocol.txt, sections 2.1, 2.2 and 5.

import { isIPv4, isIPv6 } from 'node:net'
import { canonicalAddress } from './trusted-addresses.ts'

export interface ProxyEndpoint {
  readonly address: string
  readonly port: number
}

export type ProxyHeader =
  | { readonly kind: 'need-more' }
  /** The header has `length` bytes. Null endpoints (LOCAL, UNKNOWN, UNSPEC, UNIX): the addresses of the connection apply. */
  | {
      readonly kind: 'done'
      readonly length: number
      readonly source: ProxyEndpoint | null
      readonly destination: ProxyEndpoint | null
    }
  | { readonly kind: 'bad'; readonly reason: string }

const SIGNATURE_1 = Buffer.from('PROXY ', 'latin1')
const SIGNATURE_2 = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
/** The longest version 1 line, CR LF included (section 2.1). */
const MAX_BYTES_1 = 107
/** 16 bytes before the addresses; after them, addresses and TLVs. Senders that add names of a TLS certificate stay below 4 KiB. */
const PREFIX_BYTES_2 = 16
const MAX_BYTES_2 = PREFIX_BYTES_2 + 4096

const NEED_MORE: ProxyHeader = { kind: 'need-more' }

/** Parses a header at the start of `buffer`. Linear in the length of the header; reads at most 4112 bytes. */
export function parseProxyHeader(buffer: Buffer): ProxyHeader {
  if (buffer.length === 0) return NEED_MORE
  if (buffer[0] === SIGNATURE_1[0]) return startsLike(buffer, SIGNATURE_1) ? parseVersion1(buffer) : bad('not a PROXY header')
  return startsLike(buffer, SIGNATURE_2) ? parseVersion2(buffer) : bad('not a PROXY header')
}

/** True if the buffer and the signature agree in their common length. */
function startsLike(buffer: Buffer, signature: Buffer): boolean {
  const length = Math.min(buffer.length, signature.length)
  return buffer.compare(signature, 0, length, 0, length) === 0
}

function parseVersion1(buffer: Buffer): ProxyHeader {
  const window = buffer.subarray(0, MAX_BYTES_1)
  const lineFeed = window.indexOf(10)
  if (lineFeed === -1)
    return window.length < MAX_BYTES_1 ? checkCarriageReturn(window) : bad('version 1 line longer than 107 bytes')
  if (window.indexOf(13) !== lineFeed - 1) return bad('version 1 line does not end in CR LF')
  const line = window.toString('latin1', SIGNATURE_1.length, lineFeed - 1)
  const length = lineFeed + 1
  if (line === 'UNKNOWN' || line.startsWith('UNKNOWN ')) return { kind: 'done', length, source: null, destination: null }
  const fields = line.split(' ')
  if (fields.length !== 5) return bad('version 1 line does not have six fields')
  const [protocol, sourceAddress, destinationAddress, sourcePort, destinationPort] = fields as [
    string,
    string,
    string,
    string,
    string,
  ]
  if (protocol !== 'TCP4' && protocol !== 'TCP6') return bad('version 1 protocol is not TCP4, TCP6 or UNKNOWN')
  const source = endpoint1(protocol, sourceAddress, sourcePort)
  const destination = endpoint1(protocol, destinationAddress, destinationPort)
  if (source === null || destination === null) return bad('version 1 address or port is malformed')
  return { kind: 'done', length, source, destination }
}

/** A CR may only be the last byte so far: the next byte must be LF. */
function checkCarriageReturn(window: Buffer): ProxyHeader {
  const at = window.indexOf(13)
  return at === -1 || at === window.length - 1 ? NEED_MORE : bad('version 1 line does not end in CR LF')
}

function endpoint1(protocol: 'TCP4' | 'TCP6', address: string, port: string): ProxyEndpoint | null {
  const known = protocol === 'TCP4' ? isIPv4(address) : isIPv6(address) && !address.includes('%')
  const plain = known ? canonicalAddress(address) : null
  const number = parsePort(port)
  return plain === null || number === null ? null : { address: plain, port: number }
}

function parsePort(text: string): number | null {
  if (text.length === 0 || text.length > 5 || (text.length > 1 && text.startsWith('0'))) return null
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) < 48 || text.charCodeAt(i) > 57) return null
  const port = Number(text)
  return port <= 65_535 ? port : null
}

/** Length of the addresses per family. Datagram families are refused: the header came on a stream. */
const STREAM_FAMILIES: Readonly<Record<number, number>> = { 0: 0, 17: 12, 33: 36, 49: 216 }
const TCP4 = 17
const TCP6 = 33

function parseVersion2(buffer: Buffer): ProxyHeader {
  const version = buffer[12]
  if (version === undefined) return NEED_MORE
  if (version !== 0x20 && version !== 0x21) return bad('version 2 command is neither LOCAL nor PROXY')
  const family = buffer[13]
  if (family === undefined) return NEED_MORE
  const local = version === 0x20
  const addressBytes = STREAM_FAMILIES[family]
  if (addressBytes === undefined && !local) return bad('version 2 address family is not TCP or UNIX stream')
  if (buffer.length < PREFIX_BYTES_2) return NEED_MORE
  const length = PREFIX_BYTES_2 + buffer.readUInt16BE(14)
  if (length > MAX_BYTES_2) return bad('version 2 header longer than 4112 bytes')
  if (buffer.length < length) return NEED_MORE
  // The content of a LOCAL header is skipped, whatever it is (section 2.2).
  if (local) return { kind: 'done', length, source: null, destination: null }
  const end = PREFIX_BYTES_2 + addressBytes!
  if (end > length) return bad('version 2 header too short for its addresses')
  if (family !== 0 && !areTlvs(buffer, end, length)) return bad('version 2 TLVs run over the end')
  return { kind: 'done', length, ...endpoints2(buffer, family) }
}

function endpoints2(buffer: Buffer, family: number): { source: ProxyEndpoint | null; destination: ProxyEndpoint | null } {
  if (family !== TCP4 && family !== TCP6) return { source: null, destination: null }
  const size = family === TCP4 ? 4 : 16
  const ports = PREFIX_BYTES_2 + 2 * size
  return {
    source: { address: addressAt(buffer, PREFIX_BYTES_2, size), port: buffer.readUInt16BE(ports) },
    destination: { address: addressAt(buffer, PREFIX_BYTES_2 + size, size), port: buffer.readUInt16BE(ports + 2) },
  }
}

function addressAt(buffer: Buffer, at: number, size: number): string {
  if (size === 4) return `${buffer[at]}.${buffer[at + 1]}.${buffer[at + 2]}.${buffer[at + 3]}`
  const groups: string[] = []
  for (let i = 0; i < size; i += 2) groups.push(buffer.readUInt16BE(at + i).toString(16))
  const text = groups.join(':')
  return canonicalAddress(text) ?? text
}

function areTlvs(buffer: Buffer, from: number, end: number): boolean {
  let at = from
  while (at < end) {
    if (at + 3 > end) return false
    at += 3 + buffer.readUInt16BE(at + 1)
  }
  return at === end
}

function bad(reason: string): ProxyHeader {
  return { kind: 'bad', reason }
}
