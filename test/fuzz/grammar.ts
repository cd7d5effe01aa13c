// Generates messages: mostly valid ones, made by the grammar (RFC 9112) from relevant parts, then mutated: a byte, a line, a line end.
// Parsers fail where valid and invalid messages lie close together.

import type { Random } from './random.ts'

const METHODS = [
  'GET',
  'GET',
  'POST',
  'POST',
  'PUT',
  'HEAD',
  'OPTIONS',
  'DELETE',
  'PATCH',
  'M-SEARCH',
  'QUERY',
  'get',
  'CONNECT',
  'PRI',
  'X',
  'LIST',
  'RDG_OUT_DATA',
  '*',
  "!#$%&'*+-.^_`|~0",
  'A'.repeat(32),
  'A'.repeat(33),
  'P(T',
]
const TARGETS = [
  '/',
  '/',
  '/a?b=c',
  '/a%2fb',
  '*',
  'http://h/',
  'http://h:80?q',
  '//',
  '/{}|^`"<>\\',
  '/~',
  'h:1',
  '/\x7f',
  '/\xe9',
  '/\xc3\xa9?\xf0\x9f\x98\x80',
  '/\xc0\xaf',
  'http://h:/\xc3\xa9',
  'http://\xc3\xa9/',
  '/a#b',
  '',
]
const VERSIONS = [
  'HTTP/1.1',
  'HTTP/1.1',
  'HTTP/1.1',
  'HTTP/1.1',
  'HTTP/1.1',
  'HTTP/1.0',
  'HTTP/1.2',
  'HTTP/2.0',
  'HTTP/0.9',
  'http/1.1',
  'HTTP/1.10',
]
const NAMES = [
  'X',
  'x-a',
  'Accept',
  'Cookie',
  "!#$%&'*+-.^_`|~0aZ",
  'Trailer',
  'TE',
  'Keep-Alive',
  'Date',
  'X(',
  'X ',
  ' X',
  'X\t',
  '',
  'Content-Lengt',
  'Content_Length',
]
const VALUES = [
  '',
  'a',
  ' a b ',
  '\ta\t',
  '\xe9\xff',
  'a, b',
  '"q\\"s"',
  'timeout=5',
  '\x01',
  'a\0b',
  'a\x7f',
  '\x0b',
  ':',
  '5',
  'chunked',
  'a\r\n b',
]
const LINES = [
  'Host: h',
  'Host: h:80',
  'Host: h:',
  'Host: [::1]',
  'Host:',
  'Host: a b',
  'Content-Length: 0',
  'Content-Length: 3',
  'content-length:3',
  'Content-Length: 03',
  'Content-Length: +3',
  'Content-Length: 3, 3',
  'Content-Length: 3,03',
  'Content-Length : 3',
  'Content-Length:\r\n 3',
  'Content-Length: 3\x01',
  'Transfer-Encoding:\r\n\tchunked',
  'Connection: Keep-Alive; timeout=5',
  'Connection: a b',
  'X: a\r\n b\r\n\t\r\n c',
  'Content-Length: 3 3',
  'Content-Length: 0x3',
  'Content-Length: 18446744073709551619',
  'Content-Length:\t3 ',
  'Transfer-Encoding: chunked',
  'transfer-encoding:CHUNKED',
  'Transfer-Encoding: chunked, chunked',
  'Transfer-Encoding: gzip, chunked',
  'Transfer-Encoding: gzip',
  'Transfer-Encoding: identity',
  'Transfer-Encoding: chunked;a=b',
  'Transfer-Encoding: chunked ,',
  'Transfer-Encoding: xchunked',
  'Transfer-Encoding: chunkedx',
  'Transfer-Encoding:',
  'Transfer-Encoding: \x0bchunked',
  'Transfer-Encoding : chunked',
  'Connection: close',
  'Connection: keep-alive',
  'Connection: close, keep-alive',
  'Connection: Upgrade',
  'Connection: upgrade, close',
  'Connection: transfer-encoding',
  'Connection: ,, ,x',
  'Upgrade: websocket',
  'Upgrade: h2c',
  'Expect: 100-continue',
  'Proxy-Connection: keep-alive',
  'nonsense',
  ' folded',
  ': empty',
]
const STATUSES = [
  '200',
  '200',
  '200',
  '204',
  '304',
  '100',
  '101',
  '103',
  '404',
  '500',
  '599',
  '999',
  '099',
  '20',
  '2000',
  '2x0',
  '',
]
const REASONS = [' OK', ' OK', ' OK', ' ', '', ' \xe9', ' a\tb', '  two', ' \x01', 'OK']
const EXTENSIONS = [
  '',
  '',
  '',
  '',
  ';a',
  ';a=b',
  ';a="b c"',
  ';a="\\""',
  ';',
  '; a',
  ';a=',
  ';a="',
  ';a=b;c=d',
  ' ',
  '\t',
  ';a="\x01"',
  ';\xe9',
  ' ;a',
  ' x',
  '\t0',
]
/** Prefixes of a chunk size: too large for 32, 53 or 64 bits. */
const HUGE = ['1000000', '10000000', '100000000000', '10000000000000', '1000000000000000', 'fffffffffffffff']
const BYTES = [
  '\r',
  '\n',
  '\r\n',
  '\0',
  ' ',
  '\t',
  ':',
  ';',
  ',',
  '\x0b',
  '\x0c',
  '\x7f',
  '\x80',
  '\xff',
  '"',
  '\\',
  '0',
  'a',
  'G',
  '\r\r\n',
  '\n\n',
  '\x85',
  '\xa0',
]

export interface Case {
  readonly kind: 'request' | 'response'
  /** A response to HEAD. */
  readonly head: boolean
  /** The connection ends after the bytes. */
  readonly ends: boolean
  readonly bytes: Buffer
}

export function makeCase(r: Random): Case {
  const kind = r.chance(0.65) ? 'request' : 'response'
  let text = ''
  if (kind === 'request') for (let n = 1 + r.below(3); n > 0; n--) text += (r.chance(0.05) ? '\r\n' : '') + request(r)
  else {
    for (let n = r.chance(0.2) ? 1 + r.below(2) : 0; n > 0; n--)
      text += `HTTP/1.1 ${r.pick(['100', '103', '102'])} x\r\n${fields(r, 2)}\r\n`
    text += response(r)
  }
  if (kind === 'response') for (let n = r.chance(0.6) ? 1 + r.below(3) : 0; n > 0; n--) text = age(r, text)
  for (let n = r.chance(0.6) ? 1 + r.below(3) : 0; n > 0; n--) text = bend(r, text)
  return { kind, head: kind === 'response' && r.chance(0.15), ends: r.chance(0.5), bytes: Buffer.from(text, 'latin1') }
}

function request(r: Random): string {
  const sound = r.chance(0.85)
  const method = sound ? r.pick(['GET', 'POST', 'PUT', 'HEAD', 'OPTIONS']) : r.pick(METHODS)
  const target = sound ? r.pick(['/', '/a?b', '/x/y']) : r.pick(TARGETS)
  const version = sound ? (r.chance(0.93) ? 'HTTP/1.1' : 'HTTP/1.0') : r.pick(VERSIONS)
  const [framing, body] = content(r, version === 'HTTP/1.0')
  const host = r.chance(0.93) ? 'Host: h\r\n' : ''
  return `${method} ${target} ${version}\r\n${host}${fields(r, 3)}${framing}${fields(r, 1)}\r\n${body}`
}

function response(r: Random): string {
  const [framing, body] = content(r, false)
  const version = r.chance(0.9) ? 'HTTP/1.1' : r.pick(VERSIONS)
  return `${version} ${r.chance(0.7) ? '200 OK' : r.pick(STATUSES) + r.pick(REASONS)}\r\n${fields(r, 3)}${framing}${fields(r, 1)}\r\n${body}`
}

/** The field that frames a body, and the body. */
function content(r: Random, plain: boolean): readonly [string, string] {
  const kind = r.below(plain ? 2 : 4)
  if (kind === 0) return ['', '']
  if (kind === 1) {
    const size = r.below(12)
    return [`${r.pick(['Content-Length', 'content-length', 'CONTENT-LENGTH'])}: ${size}\r\n`, bodyBytes(r, size)]
  }
  return [`${r.pick(['Transfer-Encoding: chunked', 'transfer-encoding:Chunked '])}\r\n`, chunks(r)]
}

function bodyBytes(r: Random, size: number): string {
  let out = ''
  while (out.length < size) out += r.pick(['a', 'b', '\r\n', '0', '\0', 'G', '\xff', 'GET / HTTP/1.1\r\n'])
  return out.slice(0, size)
}

function chunks(r: Random): string {
  let out = ''
  for (let n = r.below(4); n > 0; n--) {
    const size = 1 + r.below(20)
    out += `${r.chance(0.02) ? r.pick(HUGE) : r.pick(['', '', '0', '000'])}${size.toString(16)}${extension(r)}\r\n${bodyBytes(r, size)}\r\n`
  }
  out += `${r.pick(['0', '0', '0', '00', '000000'])}${extension(r)}\r\n`
  if (r.chance(0.2)) out += fields(r, 2)
  return `${out}\r\n`
}

const extension = (r: Random): string => (r.chance(0.2) ? r.pick(EXTENSIONS) : '')

function fields(r: Random, most: number): string {
  let out = ''
  for (let n = r.below(most + 1); n > 0; n--) {
    if (r.chance(0.25)) out += `${r.pick(LINES)}\r\n`
    else if (r.chance(0.8)) out += `${r.pick(NAMES.slice(0, 9))}: ${r.pick(VALUES.slice(0, 8))}\r\n`
    else out += `${r.pick(NAMES)}:${r.pick(VALUES)}\r\n`
  }
  return out
}

/** One fault of old servers, in the first head that has space for it, or in the lines of chunk sizes. */
function age(r: Random, text: string): string {
  const lineEnds = [...text.matchAll(/\r\n/g)].map(match => match.index)
  const at = lineEnds.length === 0 ? 0 : r.pick(lineEnds)
  switch (r.below(9)) {
    case 0: {
      const head = text.search(/\r\n\r\n/)
      return head < 0 ? text : text.slice(0, head + 4).replaceAll('\r\n', '\n') + text.slice(head + 4)
    }
    case 1:
      return `${text.slice(0, at)}\n${text.slice(at + 2)}`
    case 2:
      return text.replace(/(\r\n[A-Za-z-]+):/, `$1${r.pick([' ', '\t', ' \t '])}:`)
    case 3:
      return text.replace(
        /:[ ]?([^\r\n]*)\r\n/,
        (_all, value: string) => `:${r.pick(['', ' '])}\r\n${r.pick([' ', '\t', '  '])}${value}\r\n`,
      )
    case 4:
      return text.replace(/\r\n(content-length: *)(\d+)/i, (line, name: string, value: string) =>
        r.pick([`${line}${line}`, `\r\n${name}${value}, ${value}`, `${line}\r\n${name}0${value}`, `${line}\r\nX: y${line}`]),
      )
    case 5:
      return text.replace(
        /(HTTP\/1\.)\d +(\d{3}) ?/,
        (_all, version: string, status: string) =>
          `${version}${r.below(10)}${r.pick([' ', '  ', '\t'])}${status}${r.pick([' ', '\t', ''])}`,
      )
    case 6:
      return text.replace(/(\r\n[A-Za-z-]+: ?)/, `$1${r.pick(['\x01', '\x7f', '\x1b', '\x0b'])}`)
    default:
      return text.replaceAll(/\r\n([0-9a-f]+)(?=\r\n)/gi, (line, size: string) =>
        r.chance(0.5)
          ? line
          : `\r\n${r.pick(['', '0', '00000000'])}${size}${r.pick(['', ' ', '\t  ', ' ;a', ';', ' ; a = b', ';\xe9"'])}`,
      )
  }
}

/** One change, mostly near the places where lines end. */
function bend(r: Random, text: string): string {
  const at = place(r, text)
  switch (r.below(9)) {
    case 0:
      return text.slice(0, at) + r.pick(BYTES) + text.slice(at)
    case 1:
      return text.slice(0, at) + text.slice(at + 1 + r.below(3))
    case 2:
      return text.slice(0, at) + r.pick(BYTES) + text.slice(at + 1)
    case 3:
      return text.slice(0, at) + String.fromCharCode(r.below(256)) + text.slice(at + 1)
    case 4: {
      const lines = text.split('\r\n')
      lines.splice(r.below(lines.length), 0, r.pick(LINES))
      return lines.join('\r\n')
    }
    case 5: {
      const lines = text.split('\r\n')
      lines.splice(r.below(lines.length), 1)
      return lines.join('\r\n')
    }
    case 6: {
      const lines = text.split('\r\n')
      const n = r.below(lines.length)
      lines.splice(n, 0, lines[r.below(lines.length)]!)
      return lines.join('\r\n')
    }
    case 7: {
      const end = text.indexOf('\r\n', at)
      return end < 0
        ? text.slice(0, at)
        : text.slice(0, end) + r.pick(['\n', '\r', '\r\r\n', ' \r\n', '\t\r\n', '\n\r', '\r\n ', '']) + text.slice(end + 2)
    }
    default:
      return text.slice(0, at) + text.slice(at, at + 1).toUpperCase() + text.slice(at, at + 1).toLowerCase() + text.slice(at + 1)
  }
}

function place(r: Random, text: string): number {
  const at = r.below(text.length + 1)
  if (r.chance(0.5)) return at
  const end = text.indexOf(r.pick(['\r\n', ':', ' ', ';', '\r\n\r\n']), at)
  return end < 0 ? at : end + r.below(3)
}

/** Where to split the stream into pieces. */
export function makeCuts(r: Random, length: number): number[] {
  const cuts: number[] = []
  for (let n = r.below(6); n > 0; n--) cuts.push(r.below(length + 1))
  return cuts.sort((a, b) => a - b)
}
