// Node's own parser, strict, fed byte by byte, its callbacks turned into events. It is reached through `_http_common`, which Node
// keeps for programs that look under the hood; a Node without it makes this file throw, never pass.

import { createRequire } from 'node:module'
import type { Event, Outcome } from './events.ts'

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

/** Requests, however many there are. */
export function readRequests(bytes: Buffer): Outcome {
  return read(HTTPParser.REQUEST, bytes, () => 0, false)
}

/** One final response (and what precedes it); `head`: to a HEAD request. `ends`: the connection ends after the bytes. */
export function readResponse(bytes: Buffer, head: boolean, ends: boolean): Outcome {
  return read(HTTPParser.RESPONSE, bytes, status => (head || status < 200 || status === 204 || status === 304 ? 1 : 0), ends)
}

/** llhttp's numbers: up to 33 those of the list, then methods of other protocols, 46 the youngest. */
function methodOf(number: number): string {
  if (number <= 33) return methods[number]!
  return number === 46 ? 'QUERY' : `#${number}`
}

function read(type: number, bytes: Buffer, skipBody: (status: number) => number, ends: boolean): Outcome {
  const events: Event[] = []
  const parser = new HTTPParser()
  let at = 0
  let fields: string[] = []
  let body = ''
  let inHead = true
  let url = ''
  parser.initialize(type, {}, MAX_HEAD, HTTPParser.kLenientNone)
  parser[HTTPParser.kOnHeaders] = (more: readonly string[], piece: string) => {
    fields.push(...more)
    // With trailers the target is told once more.
    if (inHead) url += piece
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
    const all = [...fields, ...(rest ?? [])]
    const line = type === HTTPParser.REQUEST ? [methodOf(method!), url + (target ?? '')] : [String(status), reason ?? '']
    events.push({ kind: 'head', at, line: [line[0]!, line[1]!, minor], fields: all })
    fields = []
    url = ''
    inHead = false
    return skipBody(status ?? 0)
  }
  parser[HTTPParser.kOnBody] = (piece: Buffer) => {
    body += piece.toString('latin1')
  }
  parser[HTTPParser.kOnMessageComplete] = () => {
    events.push({ kind: 'end', at, body, trailers: inHead ? [] : fields })
    fields = []
    body = ''
    inHead = true
  }
  let refused = ''
  for (; at < bytes.length && refused === ''; ) {
    const one = bytes.subarray(at, at + 1)
    at++
    const result = parser.execute(one)
    if (result instanceof Error) refused = result.message
  }
  if (refused === '' && ends) {
    const result = parser.finish()
    if (result instanceof Error) refused = result.message
  }
  parser.free()
  return { events, refused }
}
