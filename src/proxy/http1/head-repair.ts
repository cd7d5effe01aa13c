// Repairs faults of old servers in the head or the trailers of a response. A fault that several of nginx, HAProxy, Caddy and Go
// accept is rewritten as RFC 9112 requires; the strict parser then reads the rewritten text. So no client receives a fault, and
// nothing is accepted that the strict parser would read differently. Pure; called only for a text that the strict parser refused.

import { TOKEN, trimOws } from '../message/chars.ts'
import { CONNECTION, CONTENT_LENGTH, identify, OTHER, TRANSFER_ENCODING } from '../message/fields.ts'

/** Bits for the repairs that were made. */
export const LINE_FEEDS = 1
export const SPACE_BEFORE_COLON = 2
export const FOLDS = 4
export const LENGTHS = 8
export const CONNECTION_OPTIONS = 16
export const STATUS_LINE = 32
/** Bytes of a value were removed. */
export const CONTROLS = 64
const DESCRIPTIONS: readonly (readonly [bit: number, description: string])[] = [
  [LINE_FEEDS, 'lines that end with a bare LF'],
  [SPACE_BEFORE_COLON, 'white space before a colon'],
  [FOLDS, 'folded lines'],
  [LENGTHS, 'the same Content-Length more than once'],
  [CONNECTION_OPTIONS, 'a malformed Connection field'],
  [STATUS_LINE, 'a malformed status line'],
  [CONTROLS, 'control characters, which were removed'],
]

const LF = 10
const CR = 13
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f]/
const CONTROLS_ALL = /[\x00-\x08\x0a-\x1f\x7f]/g
/** Any minor version of HTTP/1, and any white space between the parts. */
const STATUS = /^HTTP\/1\.([0-9])[ \t]+([0-9]{3})(?:[ \t](.*))?$/s
const NUMBER = /^[0-9]{1,15}$/

export function describeRepairs(repaired: number): string {
  return DESCRIPTIONS.filter(([bit]) => (repaired & bit) !== 0)
    .map(([, description]) => description)
    .join(', ')
}

/**
 * Index after the first empty line of a head whose lines may end with a bare LF; -1 if there is none yet. Searches from `from`,
 * which must be three bytes before the end of the part that was searched already.
 */
export function lenientHeadEnd(buffer: Buffer, from: number): number {
  for (let i = buffer.indexOf(LF, from); i >= 0; i = buffer.indexOf(LF, i + 1)) {
    if (buffer[i + 1] === LF) return i + 2
    if (buffer[i + 1] === CR && buffer[i + 2] === LF) return i + 3
  }
  return -1
}

interface Field {
  /** Name and value as they will be written. */
  name: string
  id: number
  value: string
}

/** One object serves all responses of a worker: read `text` and `repaired`, or `problem`, before the next call. */
export class HeadRepair {
  text = ''
  /** The repairs that were made, as bits. */
  repaired = 0
  problem = ''
  private readonly fields: Field[] = []

  /** Repairs a complete head, including its empty line. @returns false if it is beyond repair */
  head(text: string): boolean {
    this.begin()
    const lines = this.lines(text)
    if (lines === null) return false
    const status = STATUS.exec(lines[0] ?? '')
    if (status === null) return this.fail('the response has no status line')
    if (!this.readFields(lines, 1) || !this.mergeLengths()) return false
    this.repairConnection()
    const [, minor, code, reason = ''] = status
    const line = `HTTP/1.${minor === '0' ? 0 : 1} ${code} ${this.withoutControls(reason)}`
    if (!(lines[0] ?? '').startsWith(line.trimEnd())) this.repaired |= STATUS_LINE
    this.text = `${line}\r\n${this.serialize()}\r\n`
    return true
  }

  /** Repairs the trailer lines of a chunked response. Fields that trailers must not contain (RFC 9110, 6.5.1) are removed. */
  trailers(text: string): boolean {
    this.begin()
    const lines = this.lines(text)
    if (lines === null || !this.readFields(lines, 0)) return false
    this.text = this.serialize(true)
    return true
  }

  private begin(): void {
    this.text = ''
    this.repaired = 0
    this.problem = ''
    this.fields.length = 0
  }

  /** Splits the text into lines without their ends, up to the empty line or the end of the text. */
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
    this.problem = `a line of the response has ${what}`
    return null
  }

  private readFields(lines: readonly string[], from: number): boolean {
    for (let n = from; n < lines.length; n++) {
      const line = lines[n]!
      const first = line.charCodeAt(0)
      if (first === 32 || first === 9) {
        const before = this.fields.at(-1)
        if (before === undefined) return this.fail('the first field of the response begins with white space')
        this.repaired |= FOLDS
        const more = trimOws(line)
        if (more !== '') before.value = before.value === '' ? more : `${before.value} ${more}`
        continue
      }
      const colon = line.indexOf(':')
      const name = trimOws(line.slice(0, Math.max(0, colon)))
      if (!isToken(name)) return this.fail('a line of the response is not a field')
      if (name.length !== colon) this.repaired |= SPACE_BEFORE_COLON
      this.fields.push({ name, id: identify(name, 0, name.length), value: trimOws(line.slice(colon + 1)) })
    }
    for (const field of this.fields) {
      const framing = field.id === CONTENT_LENGTH || field.id === TRANSFER_ENCODING
      // Parsers differ about control characters here: nginx ignores the length, HAProxy refuses the response.
      if (framing && CONTROL.test(field.value)) return this.fail(`${field.name} of the response has a control character`)
      field.value = this.withoutControls(field.value)
    }
    return true
  }

  /** Merges equal lengths, in a list or in several fields, into one (RFC 9110, 8.6). */
  private mergeLengths(): boolean {
    let first: Field | null = null
    let count = 0
    let length = -1
    for (const field of this.fields) {
      if (field.id !== CONTENT_LENGTH) continue
      first ??= field
      for (const item of field.value.split(',')) {
        const text = trimOws(item)
        if (!NUMBER.test(text) || (length >= 0 && Number(text) !== length)) {
          return this.fail('Content-Length of the response is not one number')
        }
        length = Number(text)
        count++
      }
    }
    if (first === null || count === 1) return true
    this.repaired |= LENGTHS
    first.value = String(length)
    let kept = 0
    for (const field of this.fields) if (field.id !== CONTENT_LENGTH || field === first) this.fields[kept++] = field
    this.fields.length = kept
    return true
  }

  /**
   * Removes parameters of options, as in `Keep-Alive; timeout=5`; those of keep-alive become a Keep-Alive field. A value that is
   * not an option becomes `close`, since it may have meant that.
   */
  private repairConnection(): void {
    for (let n = this.fields.length - 1; n >= 0; n--) {
      const field = this.fields[n]!
      if (field.id !== CONNECTION) continue
      const options: string[] = []
      let hint = ''
      let odd = false
      for (const item of field.value.split(',')) {
        const [option = '', ...parameters] = item.split(';').map(trimOws)
        if (parameters.length > 0) {
          odd = true
          if (option.toLowerCase() === 'keep-alive') hint = parameters.join(', ')
        }
        if (isToken(option)) options.push(option)
        else if (trimOws(item) !== '') {
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
    return trimOws(value.replaceAll(CONTROLS_ALL, ''))
  }

  private serialize(onlyUnidentified = false): string {
    let out = ''
    for (const { name, id, value } of this.fields) if (!onlyUnidentified || id === OTHER) out += `${name}: ${value}\r\n`
    return out
  }

  private fail(problem: string): false {
    this.problem = problem
    return false
  }
}

function isToken(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (!TOKEN[text.charCodeAt(i)]) return false
  return text !== ''
}
