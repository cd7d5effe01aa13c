// Request targets with raw UTF-8, as scripts and old clients send them although RFC 3986 wants them percent-encoded. They are
// encoded before anything else reads them, so that rules, middlewares, logs and servers see the same ASCII target.

import { isUtf8 } from 'node:buffer'
import { TARGET } from '../message/chars.ts'

/** Index behind the target that begins at `start`: the first character that is neither allowed in a target nor above ASCII. */
export function rawTargetEnd(s: string, start: number): number {
  let i = start
  for (let c = s.charCodeAt(i); c > 127 || TARGET[c]; c = s.charCodeAt(i)) i++
  return i
}

/**
 * Percent-encodes the bytes above ASCII of a latin1 string.
 * @returns '' if they are not well-formed UTF-8: an overlong form of a slash would mean something else to a server that decodes it
 */
export function encodeTarget(raw: string): string {
  if (!isUtf8(Buffer.from(raw, 'latin1'))) return ''
  return raw.replaceAll(/[\x80-\xff]/g, c => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
}
