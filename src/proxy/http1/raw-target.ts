// Request targets with raw UTF-8, which scripts and old clients send although RFC 3986 requires percent-encoding. They are encoded
// before anything else reads them, so rules, middlewares, logs and servers see the same ASCII target.

import { isUtf8 } from 'node:buffer'
import { TARGET } from '../message/chars.ts'

/** Index after the target at `start`: the first character that is neither allowed in a target nor above ASCII. */
export function rawTargetEnd(s: string, start: number): number {
  let i = start
  for (let c = s.charCodeAt(i); c > 127 || TARGET[c]; c = s.charCodeAt(i)) i++
  return i
}

/**
 * Percent-encodes the bytes above ASCII of a latin1 string.
 * @returns '' if they are not well-formed UTF-8: a server could decode an overlong form of a slash to a slash
 */
export function encodeTarget(raw: string): string {
  if (!isUtf8(Buffer.from(raw, 'latin1'))) return ''
  return raw.replaceAll(/[\x80-\xff]/g, c => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
}
