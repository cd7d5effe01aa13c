// Trailer sections (RFC 9112, 7.1.2) between the lines of HTTP/1 and the message model. The chunked reader has checked the lines.

import { trimOws } from '../message/chars.ts'
import { FieldList, NO_FIELDS } from '../message/field-list.ts'

/** `lines`: checked field lines, each with its CRLF; '' for none. */
export function parseTrailers(lines: string): FieldList {
  if (lines === '') return NO_FIELDS
  const pairs: string[] = []
  for (const line of lines.slice(0, -2).split('\r\n')) {
    const colon = line.indexOf(':')
    pairs.push(line.slice(0, colon), trimOws(line.slice(colon + 1)))
  }
  const list = new FieldList(...pairs)
  list.http1Lines = lines
  return list
}
