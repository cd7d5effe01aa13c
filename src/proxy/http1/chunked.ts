// Incremental reader of the chunked coding (RFC 9112, 7.1). A pull parser: next() returns one event at a time and leaves positions
// in plain fields, so it needs neither callbacks nor copies. Extensions are checked and skipped; trailers are checked and kept.
// Requests are read strictly. A lenient reader, for responses, also accepts what old servers send: white space around sizes and
// `;`, leading zeros, malformed extensions, trailers that head-repair.ts can repair. Line ends are always CRLF: where parsers
// disagree about them, one server could answer in another's place (response splitting).

import { HEX, TOKEN } from '../message/chars.ts'
import { Fields, ID, OTHER, STRIDE } from '../message/fields.ts'
import { HeadRepair } from './head-repair.ts'
import { parseFields } from './parse-fields.ts'

/** The buffer has been read; more bytes are needed. */
export const MORE = 0
/** Content between `from` and `to`. */
export const DATA = 1
/** The body is complete. `position` is the byte after it; `trailers` holds its trailer section ('' when empty). */
export const END = 2
/** The body is malformed; `problem` gives the reason. */
export const BAD = 3
/** Lenient readers only: the line of a chunk size is complete; see `lineFrom`, `canonical` and `size`. */
export const LINE = 4

const SIZE = 0
const EXTENSION = 1
const SIZE_LF = 2
const CONTENT = 3
const CONTENT_CR = 4
const CONTENT_LF = 5
const TRAILERS = 6
const DONE = 7
/** White space after a size. */
const SIZE_SPACE = 8
/** A lenient reader within an extension. */
const ANYTHING = 9

// State within an extension: after `;`, in a name, after `=`, in a token value, in a quoted value, after a backslash in it, after
// the closing quote.
const EXT_START = 0
const EXT_NAME = 1
const EXT_EQUALS = 2
const EXT_TOKEN = 3
const EXT_QUOTED = 4
const EXT_ESCAPE = 5
const EXT_CLOSED = 6

/** Limit per body for a strict reader; for a lenient one, limit per line, without the digits of the size. */
const MAX_EXTENSION_BYTES = 1024
const MAX_DIGITS = 12
const MAX_TRAILER_BYTES = 16_384
const MAX_TRAILERS = 64

export class ChunkedReader {
  from = 0
  to = 0
  position = 0
  trailers = ''
  problem = ''
  /** Size of the current chunk, and the index of its size line in this buffer; -1 if the line began in an earlier buffer. */
  size = 0
  lineFrom = -1
  /** The size line consists of digits without a leading zero. For the last chunk: the body also has no trailers. */
  canonical = true
  private readonly lenient: boolean
  private state = SIZE
  private digits = 0
  private remaining = 0
  private extension = EXT_START
  private extensionBytes = 0
  /** Within the trailers: the last byte was a CR; bytes of the current line so far. */
  private trailerCr = false
  private trailerLineBytes = 0
  private scratch: Fields | null = null

  constructor(lenient = false) {
    this.lenient = lenient
  }

  reset(): void {
    this.startLine(-1)
    this.remaining = 0
    this.trailers = ''
    this.trailerCr = false
    this.trailerLineBytes = 0
    this.problem = ''
    this.extensionBytes = 0
  }

  /** Starts a new buffer, which contains no part of a line begun in an earlier one. */
  startBuffer(position: number): void {
    this.position = position
    this.lineFrom = -1
  }

  private startLine(at: number): void {
    this.state = SIZE
    this.digits = 0
    this.size = 0
    this.lineFrom = at
    this.canonical = true
    if (this.lenient) this.extensionBytes = 0
  }

  /** True within a size line or the end of the body: the bytes of this buffer since `lineFrom` cannot be forwarded unchanged. */
  get inLine(): boolean {
    const { state } = this
    return state !== CONTENT && state !== CONTENT_CR && state !== CONTENT_LF && !(state === SIZE && this.digits === 0)
  }

  /** Reads from `position` to `end`. @returns MORE, DATA, END, BAD or LINE */
  next(buffer: Buffer, end: number): number {
    let i = this.position
    while (i < end) {
      const c = buffer[i]!
      switch (this.state) {
        case SIZE: {
          const digit = HEX[c]!
          if (digit < 16) {
            if (this.digits === 0) this.lineFrom = i
            // The first of several digits is a zero.
            else if (this.remaining === 0) this.canonical = false
            if (this.lenient && this.remaining === 0 && digit === 0) {
              this.digits = 1
              if (++this.extensionBytes > MAX_EXTENSION_BYTES) return this.fail('a chunk size of more than 1 KiB')
            } else if (++this.digits > MAX_DIGITS + (this.lenient ? 1 : 0))
              return this.fail('a chunk size of more than 12 digits')
            this.remaining = this.remaining * 16 + digit
            i++
          } else if (this.digits === 0) return this.fail('a chunk without a size')
          else if (c === 13) {
            this.state = SIZE_LF
            i++
          } else if (c === 59) {
            this.canonical = false
            this.state = this.lenient ? ANYTHING : EXTENSION
            this.extension = EXT_START
            i++
          } else if (this.lenient && (c === 32 || c === 9)) {
            this.canonical = false
            this.state = SIZE_SPACE
          } else return this.fail('a chunk size with a character that is not a hexadecimal digit')
          break
        }
        case SIZE_SPACE:
          if (++this.extensionBytes > MAX_EXTENSION_BYTES) return this.fail('more than 1 KiB of white space after a chunk size')
          if (c === 13) this.state = SIZE_LF
          else if (c === 59) this.state = ANYTHING
          else if (c !== 32 && c !== 9) return this.fail('something other than an extension after a chunk size')
          i++
          break
        case ANYTHING:
          if (++this.extensionBytes > MAX_EXTENSION_BYTES) return this.fail('a chunk extension of more than 1 KiB')
          if (c === 13) this.state = SIZE_LF
          else if (c !== 9 && (c < 32 || c === 127)) return this.fail('a control character in a chunk extension')
          i++
          break
        case EXTENSION:
          if (!this.readExtension(c)) return this.fail('a malformed or oversized chunk extension')
          i++
          break
        case SIZE_LF:
          if (c !== 10) return this.fail('a bare CR after a chunk size')
          i++
          this.size = this.remaining
          this.state = this.remaining === 0 ? TRAILERS : CONTENT
          if (this.lenient && this.size > 0) {
            this.position = i
            return LINE
          }
          break
        case CONTENT: {
          this.from = i
          const take = Math.min(this.remaining, end - i)
          i += take
          this.remaining -= take
          this.to = i
          if (this.remaining === 0) this.state = CONTENT_CR
          this.position = i
          return DATA
        }
        case CONTENT_CR:
          if (c !== 13) return this.fail('a chunk longer than its size')
          i++
          this.state = CONTENT_LF
          break
        case CONTENT_LF:
          if (c !== 10) return this.fail('a bare CR after a chunk')
          i++
          this.startLine(-1)
          break
        case TRAILERS:
          return this.readTrailers(buffer, i, end)
        default:
          this.position = i
          return END
      }
    }
    this.position = i
    return MORE
  }

  /** `;` name [ `=` ( token | quoted-string ) ], without the white space (BWS) that the RFC allows. */
  private readExtension(c: number): boolean {
    if (++this.extensionBytes > MAX_EXTENSION_BYTES) return false
    switch (this.extension) {
      case EXT_START:
        this.extension = EXT_NAME
        return TOKEN[c] === 1
      case EXT_NAME:
        if (c === 61) this.extension = EXT_EQUALS
        else if (!TOKEN[c]) return this.endExtension(c)
        return true
      case EXT_EQUALS:
        this.extension = c === 34 ? EXT_QUOTED : EXT_TOKEN
        return c === 34 || TOKEN[c] === 1
      case EXT_TOKEN:
        return TOKEN[c] === 1 || this.endExtension(c)
      case EXT_QUOTED:
        if (c === 34) this.extension = EXT_CLOSED
        else if (c === 92) this.extension = EXT_ESCAPE
        return c === 9 || (c >= 32 && c < 127)
      case EXT_ESCAPE:
        this.extension = EXT_QUOTED
        return c === 9 || (c >= 32 && c < 127)
      default:
        return this.endExtension(c)
    }
  }

  private endExtension(c: number): boolean {
    if (c === 13) this.state = SIZE_LF
    else if (c === 59) this.extension = EXT_START
    else return false
    return true
  }

  /** Collects lines until the empty one. The bytes of one buffer are appended as one slice: the time is linear in their number. */
  private readTrailers(buffer: Buffer, start: number, end: number): number {
    const limit = start + MAX_TRAILER_BYTES - this.trailers.length
    for (let i = start; i < end; i++) {
      const c = buffer[i]!
      if ((c === 10) !== this.trailerCr) return this.fail('a bare CR or LF in the trailers')
      if (i === limit) return this.fail('trailers of more than 16 KiB')
      this.trailerCr = c === 13
      this.trailerLineBytes++
      if (c !== 10) continue
      if (this.trailerLineBytes === 2) return this.endTrailers(this.trailers + buffer.latin1Slice(start, i + 1), i + 1)
      this.trailerLineBytes = 0
    }
    this.trailers += buffer.latin1Slice(start, end)
    this.position = end
    return MORE
  }

  /** `text`: the whole trailer section with its empty line, which ends before `position`. */
  private endTrailers(text: string, position: number): number {
    this.position = position
    this.state = DONE
    this.trailers = text.slice(0, -2)
    if (text.length === 2) return END
    this.canonical = false
    return this.checkTrailers(text) || (this.lenient && this.repairTrailers(text))
      ? END
      : this.fail('a malformed or forbidden trailer field')
  }

  /** Refuses all fields that Skein acts on in a head: trailers must not frame, route or control a message (RFC 9110, 6.5.1). */
  private checkTrailers(text: string): boolean {
    const fields = (this.scratch ??= new Fields(8))
    fields.text = text
    const count = parseFields(fields, 0, MAX_TRAILERS)
    for (let n = 0; n < count; n++) {
      if (fields.at[n * STRIDE + ID] !== OTHER) return false
    }
    return count >= 0
  }

  private repairTrailers(text: string): boolean {
    const repair = new HeadRepair()
    if (!repair.trailers(text.slice(0, -2))) return false
    this.trailers = repair.text
    return this.checkTrailers(`${repair.text}\r\n`)
  }

  private fail(problem: string): number {
    this.problem = problem
    return BAD
  }
}
