// Parses a field section of HTTP/1 (RFC 9112, 5) in one pass over a latin1 string: every byte is checked, positions are kept
// instead of copies. Strict: no space before the colon, no obs-fold, no bare CR or LF, no control characters.

import { FIELD_VALUE, TOKEN } from '../message/chars.ts'
import { type Fields, identify, STRIDE } from '../message/fields.ts'

/** Results of parseFields: the section is malformed (400), or has too many fields (431). */
export const MALFORMED_FIELDS = -1
export const TOO_MANY_FIELDS = -2

/**
 * Reads fields from `start` to the empty line that must end `fields.text` exactly.
 * @returns the number of fields, MALFORMED_FIELDS or TOO_MANY_FIELDS
 */
export function parseFields(fields: Fields, start: number, maxCount: number): number {
  const s = fields.text
  let i = start
  let count = 0
  fields.hasLines = true
  for (;;) {
    if (s.charCodeAt(i) === 13) {
      if (s.charCodeAt(i + 1) !== 10 || i + 2 !== s.length) return MALFORMED_FIELDS
      fields.count = count
      return count
    }
    if (count === maxCount) return TOO_MANY_FIELDS
    const nameStart = i
    while (TOKEN[s.charCodeAt(i)]) i++
    if (i === nameStart || s.charCodeAt(i) !== 58) return MALFORMED_FIELDS
    const nameEnd = i++
    let c = s.charCodeAt(i)
    while (c === 32 || c === 9) c = s.charCodeAt(++i)
    const valueStart = i
    while (FIELD_VALUE[s.charCodeAt(i)]) i++
    if (s.charCodeAt(i) !== 13 || s.charCodeAt(i + 1) !== 10) return MALFORMED_FIELDS
    let valueEnd = i
    while (valueEnd > valueStart && ((c = s.charCodeAt(valueEnd - 1)) === 32 || c === 9)) valueEnd--
    i += 2
    const o = count * STRIDE
    if (o >= fields.at.length) fields.grow()
    const at = fields.at
    at[o] = nameStart
    at[o + 1] = nameEnd
    at[o + 2] = valueStart
    at[o + 3] = valueEnd
    at[o + 4] = identify(s, nameStart, nameEnd - nameStart)
    at[o + 5] = 0
    count++
  }
}
