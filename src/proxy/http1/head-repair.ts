// Faults of old servers in the head or the trailers of an answer, put right. What several of nginx, HAProxy, Caddy and Go accept
// is rewritten as RFC 9112 wants it, and the rewritten text is then read by the strict parser like any other; so a client never
// receives a fault, and nothing is accepted that the strict parser would read differently. Pure, and only called for a text that
// the strict parser has refused.

import { TOKEN } from '../message/chars.ts'
import { CONNECTION, CONTENT_LENGTH, identify, OTHER, TRANSFER_ENCODING } from '../message/fields.ts'

/** Bits for what was put right; below, their words for the log. */
export const LINE_FEEDS = 1
export const SPACE_BEFORE_COLON = 2
export const FOLDS = 4
export const LENGTHS = 8
export const CONNECTION_OPTIONS = 16
export const STATUS_LINE = 32
/** Bytes of a value are lost. */
export const CONTROLS = 64
const WORDS: readonly (readonly [bit: number, words: string])[] = [
  [LINE_FEEDS, 'lines that end with a bare LF'],
  [SPACE_BEFORE_COLON, 'white space before a colon'],
  [FOLDS, 'folded lines'],
  [LENGTHS, 'the same Content-Length more than once'],
  [CONNECTION_OPTIONS, 'a malformed Connection field'],
  [STATUS_LINE, 'an odd status line'],
  [CONTROLS, 'control characters, which were dropped'],
]

const LF = 10
const CR = 13
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f]/
const CONTROLS_ALL = /[\x00-\x08\x0a-\x1f\x7f]/g
/** Any minor version of HTTP/1, and white space wherever there must be some. */
const STATUS = /^HTTP\/1\.([0-9])[ \t]+([0-9]{3})(?:[ \t](.*))?$/s
const NUMBER = /^[0-9]{1,15}$/

export function describeRepairs(repaired: number): string {
  return WORDS.filter(([bit]) => (repaired & bit) !== 0)
    .map(([, words]) => words)
    .join(', ')
}

/**
 * Index behind the first empty line of a head that may have bare LFs for line ends; -1 if it is not there yet. Looks for it from
 * `from`, which may be three bytes before what was searched already.
 */
export function lenientHeadEnd(buffer: Buffer, from: number): number {
  for (let i = buffer.indexOf(LF, from); i >= 0; i = buffer.indexOf(LF, i + 1)) {
    if (buffer[i + 1] === LF) return i + 2
    if (buffer[i + 1] === CR && buffer[i + 2] === LF) return i + 3
  }
  return -1
}

interface Field {
  /** The text as it is written anew. */
  name: string
  id: number
  value: string
}

/** One object serves all answers of a worker: read `text` and `repaired`, or `problem`, before the next call. */
export class HeadRepair {
  text = ''
  /** What was put right: bits. */
  repaired = 0
  problem = ''
  private readonly fields: Field[] = []

  /** A whole head of an answer, with its empty line. @returns false where it is beyond repair */
  head(text: string): boolean {
    this.begin()
    const lines = this.lines(text)
    if (lines === null) return false
    const status = STATUS.exec(lines[0] ?? '')
    if (status === null) return this.fail('the answer has no status line')
    if (!this.readFields(lines, 1) || !this.joinLengths()) return false
    this.repairConnection()
    const [, minor, code, reason = ''] = status
    const line = `HTTP/1.${minor === '0' ? 0 : 1} ${code} ${this.withoutControls(reason)}`
    if (!(lines[0] ?? '').startsWith(line.trimEnd())) this.repaired |= STATUS_LINE
    this.text = `${line}\r\n${this.written()}\r\n`
    return true
  }

  /** The trailer lines of a chunked answer. Fields that may not come late (RFC 9110, 6.5.1) are dropped. */
  trailers(text: string): boolean {
    this.begin()
    const lines = this.lines(text)
    if (lines === null || !this.readFields(lines, 0)) return false
    this.text = this.written(true)
    return true
  }

  private begin(): void {
    this.text = ''
    this.repaired = 0
    this.problem = ''
    this.fields.length = 0
  }

  /** Lines without their ends, up to the empty one or the end of the text. */
  private lines(text: string): string[] | null {
    const lines: string[] = []
    for (let from = 0; from < text.length; ) {
      const end = text.indexOf('\n', from)
      if (end < 0) break
      const crlf = text.charCodeAt(end - 1) === CR
      if (!crlf) this.repaired |= LINE_FEEDS
      const line = text.slice(from, crlf ? end - 1 : end)
      if (line.includes('\r')) return this.refuse('a bare CR')
      if (line.includes('\0')) return this.refuse('a NUL')
      if (line === '') break
      lines.push(line)
      from = end + 1
    }
    return lines
  }

  private refuse(what: string): null {
    this.problem = `a line of the answer has ${what}`
    return null
  }

  private readFields(lines: readonly string[], from: number): boolean {
    for (let n = from; n < lines.length; n++) {
      const line = lines[n]!
      const first = line.charCodeAt(0)
      if (first === 32 || first === 9) {
        const before = this.fields.at(-1)
        if (before === undefined) return this.fail('the first field of the answer begins with white space')
        this.repaired |= FOLDS
        const more = trim(line)
        if (more !== '') before.value = before.value === '' ? more : `${before.value} ${more}`
        continue
      }
      const colon = line.indexOf(':')
      const name = trim(line.slice(0, Math.max(0, colon)))
      if (!isToken(name)) return this.fail('a line of the answer is no field')
      if (name.length !== colon) this.repaired |= SPACE_BEFORE_COLON
      this.fields.push({ name, id: identify(name, 0, name.length), value: trim(line.slice(colon + 1)) })
    }
    for (const field of this.fields) {
      const framing = field.id === CONTENT_LENGTH || field.id === TRANSFER_ENCODING
      // Parsers differ here: nginx reads no length, HAProxy refuses.
      if (framing && CONTROL.test(field.value)) return this.fail(`${field.name} of the answer has a control character`)
      field.value = this.withoutControls(field.value)
    }
    return true
  }

  /** The same length more than once, in a list or in several fields, becomes one (RFC 9110, 8.6). */
  private joinLengths(): boolean {
    let first: Field | null = null
    let count = 0
    let length = -1
    for (const field of this.fields) {
      if (field.id !== CONTENT_LENGTH) continue
      first ??= field
      for (const item of field.value.split(',')) {
        const text = trim(item)
        if (!NUMBER.test(text) || (length >= 0 && Number(text) !== length)) {
          return this.fail('Content-Length of the answer is not one number')
        }
        length = Number(text)
        count++
      }
    }
    if (first === null || count === 1) return true
    this.repaired |= LENGTHS
    first.value = String(length)
    for (let n = this.fields.length - 1; n >= 0; n--) {
      if (this.fields[n]!.id === CONTENT_LENGTH && this.fields[n] !== first) this.fields.splice(n, 1)
    }
    return true
  }

  /**
   * Options lose their parameters, as in `Keep-Alive; timeout=5`, which is then read as a keep-alive hint. A value that is no option
   * may have been meant to close the connection: the connection is not used again.
   */
  private repairConnection(): void {
    for (let n = this.fields.length - 1; n >= 0; n--) {
      const field = this.fields[n]!
      if (field.id !== CONNECTION) continue
      const options: string[] = []
      let hint = ''
      let odd = false
      for (const item of field.value.split(',')) {
        const [option = '', ...parameters] = item.split(';').map(trim)
        if (parameters.length > 0) {
          odd = true
          if (option.toLowerCase() === 'keep-alive') hint = parameters.join(', ')
        }
        if (isToken(option)) options.push(option)
        else if (trim(item) !== '') {
          odd = true
          options.push('close')
        }
      }
      if (!odd) continue
      this.repaired |= CONNECTION_OPTIONS
      field.value = options.join(', ')
      if (hint !== '') this.fields.push({ name: 'Keep-Alive', id: OTHER, value: hint })
    }
  }

  private withoutControls(value: string): string {
    if (!CONTROL.test(value)) return value
    this.repaired |= CONTROLS
    return trim(value.replaceAll(CONTROLS_ALL, ''))
  }

  private written(only = false): string {
    let out = ''
    for (const { name, id, value } of this.fields) if (!only || id === OTHER) out += `${name}: ${value}\r\n`
    return out
  }

  private fail(problem: string): false {
    this.problem = problem
    return false
  }
}

/** Optional white space is SP and HTAB only (RFC 9110, 5.6.3). */
function trim(text: string): string {
  let from = 0
  let to = text.length
  while (from < to && isBlank(text.charCodeAt(from))) from++
  while (to > from && isBlank(text.charCodeAt(to - 1))) to--
  return text.slice(from, to)
}

function isBlank(c: number): boolean {
  return c === 32 || c === 9
}

function isToken(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (!TOKEN[text.charCodeAt(i)]) return false
  return text !== ''
}
