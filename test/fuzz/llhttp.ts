// Node's own parser, strict, fed byte by byte; its callbacks become events. It is reached through `_http_common`, which Node keeps
// for such programs; without it this file throws. What Skein accepts beyond llhttp's grammar is translated first: methods that
// llhttp has no name for, raw UTF-8 in targets, and in responses the faults of old servers (soften.ts). The lenient flags of llhttp
// are too coarse for that: with them it accepts NUL.

import { createRequire } from 'node:module'
import type { Event, Outcome } from './events.ts'
import { announcesChunks, headLength, softenHead, softenSize, softenTrailers } from './soften.ts'

interface Parser {
  [callback: number]: (...parameters: never[]) => unknown
  initialize(type: number, resource: object, maxHeaderSize: number, lenientFlags: number): void
  execute(buffer: Buffer): number | Error
  finish(): number | Error | undefined
  free(): void
}

interface ParserClass {
  new (): Parser
  readonly REQUEST: number
  readonly RESPONSE: number
  readonly kOnHeaders: number
  readonly kOnHeadersComplete: number
  readonly kOnBody: number
  readonly kOnMessageComplete: number
  readonly kLenientNone: number
}

const MAX_HEAD = 1_048_576

process.removeAllListeners('warning')
process.noDeprecation = true
const { HTTPParser, methods } = createRequire(import.meta.url)('_http_common') as {
  readonly HTTPParser: ParserClass
  readonly methods: readonly string[]
}

const KNOWN: ReadonlySet<string> = new Set([...methods, 'QUERY'])
const MAX_METHOD = 32
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]$/

/** Any number of requests. */
export function readRequests(bytes: Buffer): Outcome {
  const reader = new Reader(HTTPParser.REQUEST, () => 0)
  // Within a start line: its method so far; null after it.
  let method: string | null = ''
  let inTarget = false
  for (const byte of bytes) {
    const c = String.fromCharCode(byte)
    reader.at++
    if (reader.inHead && reader.headEnds !== reader.seenEnds) {
      reader.seenEnds = reader.headEnds
      method = ''
    }
    if (method === null) {
      if (c === ' ' || c === '\r' || c === '\n') inTarget = false
      reader.feed(inTarget && byte > 127 ? `%${byte.toString(16).toUpperCase()}` : c)
    } else if (method === '' && (c === '\r' || c === '\n')) reader.feed(c)
    else if (TOKEN.test(c) && method.length <= MAX_METHOD) method += c
    else {
      const odd = c === ' ' && method.length <= MAX_METHOD && !KNOWN.has(method) && method !== 'CONNECT'
      reader.method = method
      reader.feed((odd ? 'PUT' : method) + c)
      method = null
      inTarget = c === ' '
    }
    if (reader.refused !== '') break
  }
  return reader.end(false)
}

/** One final response, with interim ones before it. `head`: to a HEAD request. `ends`: the connection ends after the bytes. */
export function readResponse(bytes: Buffer, head: boolean, ends: boolean): Outcome {
  const reader = new Reader(HTTPParser.RESPONSE, status => (head || status < 200 || status === 204 || status === 304 ? 1 : 0))
  const text = bytes.toString('latin1')
  let part: 'head' | 'size' | 'trailers' | 'content' = 'head'
  /** Start of the part that is being collected, or of content its end. */
  let from = 0
  let until = 0
  while (reader.at < text.length && reader.refused === '') {
    reader.at++
    const gathered = text.slice(from, reader.at)
    if (part === 'content') {
      reader.feed(gathered)
      from = reader.at
      if (reader.at === until) part = 'size'
    } else if (part === 'head') {
      if (headLength(gathered) < 0) continue
      const soft = softenHead(gathered)
      reader.feed(soft)
      from = reader.at
      if (announcesChunks(soft, head)) part = 'size'
      else if (!/^HTTP\/1\.\d 1(?!01)/.test(soft)) [part, until] = ['content', -1]
    } else if (part === 'size' && gathered.endsWith('\n')) {
      const soft = softenSize(gathered)
      reader.feed(soft)
      from = reader.at
      const size = Number.parseInt(soft, 16)
      if (size === 0) part = 'trailers'
      else [part, until] = ['content', reader.at + size + 2]
    } else if (part === 'trailers' && /(?:^|\n)\r?\n$/.test(gathered)) {
      reader.feed(softenTrailers(gathered))
      from = reader.at
      ;[part, until] = ['content', -1]
    }
  }
  return reader.end(ends)
}

/** llhttp's numbers: up to 33 those of the list, then methods of other protocols, 46 the latest. */
function methodOf(number: number): string {
  if (number <= 33) return methods[number]!
  return number === 46 ? 'QUERY' : `#${number}`
}

class Reader {
  /** Original bytes fed so far. */
  at = 0
  refused = ''
  inHead = true
  /** Ends of messages: all, and those the feeding loop has processed. */
  headEnds = 0
  seenEnds = 0
  /** The method as received, where llhttp is given another one. */
  method = ''
  private readonly events: Event[] = []
  private readonly parser = new HTTPParser()
  private fields: string[] = []
  private body = ''
  private url = ''

  constructor(type: number, skipBody: (status: number) => number) {
    const { parser } = this
    parser.initialize(type, {}, MAX_HEAD, HTTPParser.kLenientNone)
    parser[HTTPParser.kOnHeaders] = (more: readonly string[], piece: string) => {
      this.fields.push(...more)
      // With trailers the target is reported a second time.
      if (this.inHead) this.url += piece
    }
    parser[HTTPParser.kOnHeadersComplete] = (
      _major: number,
      minor: number,
      rest: readonly string[] | undefined,
      method: number | undefined,
      target: string | undefined,
      status: number | undefined,
      reason: string | undefined,
    ) => {
      const fields = [...this.fields, ...(rest ?? [])]
      const known = type === HTTPParser.REQUEST ? methodOf(method!) : ''
      const line =
        type === HTTPParser.REQUEST
          ? [known === 'PUT' ? this.method : known, this.url + (target ?? '')]
          : [String(status), reason ?? '']
      this.events.push({ kind: 'head', at: this.at, line: [line[0]!, line[1]!, minor], fields })
      this.fields = []
      this.url = ''
      this.inHead = false
      return skipBody(status ?? 0)
    }
    parser[HTTPParser.kOnBody] = (piece: Buffer) => {
      this.body += piece.toString('latin1')
    }
    parser[HTTPParser.kOnMessageComplete] = () => {
      this.events.push({ kind: 'end', at: this.at, body: this.body, trailers: this.inHead ? [] : this.fields })
      this.fields = []
      this.body = ''
      this.inHead = true
      this.headEnds++
    }
  }

  feed(text: string): void {
    for (let i = 0; i < text.length && this.refused === ''; i++) {
      const result = this.parser.execute(Buffer.from(text[i]!, 'latin1'))
      if (result instanceof Error) this.refused = result.message
    }
  }

  end(ends: boolean): Outcome {
    if (this.refused === '' && ends) {
      const result = this.parser.finish()
      if (result instanceof Error) this.refused = result.message
    }
    this.parser.free()
    return { events: this.events, refused: this.refused }
  }
}
