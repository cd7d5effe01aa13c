// The events of a parser for a byte stream, in a form in which two parsers are compared: heads and ends of messages, each with the
// number of bytes after which it was reported when the bytes arrive one by one.

export type Event =
  | {
      readonly kind: 'head'
      readonly at: number
      /** Method and target, or status and reason; and the minor version. */
      readonly line: readonly [string, string, number]
      /** Names and values in turn, in order. */
      readonly fields: readonly string[]
    }
  | {
      readonly kind: 'end'
      readonly at: number
      /** Body bytes as latin1. */
      readonly body: string
      readonly trailers: readonly string[]
    }

export interface Outcome {
  readonly events: readonly Event[]
  /** Why it stopped reading; '' if it did not. */
  readonly refused: string
}

/**
 * The first event of ours that theirs does not have in the same place and with the same content; null if there is none. Theirs may
 * have more, since ours is stricter. With `offsets` false only the content counts.
 */
export function firstDifference(ours: readonly Event[], theirs: readonly Event[], offsets: boolean): number | null {
  for (let i = 0; i < ours.length; i++) {
    const a = ours[i]!
    const b = theirs[i]
    if (b === undefined || (offsets && a.at !== b.at)) return i
    if (JSON.stringify({ ...a, at: 0 }) !== JSON.stringify({ ...b, at: 0 })) return i
  }
  return null
}

/** Bytes in a readable form that a corpus file can contain. */
export function escapeBytes(bytes: Buffer): string {
  return bytes
    .toString('latin1')
    .replaceAll('\\', '\\\\')
    .replaceAll('\r', '\\r')
    .replaceAll('\n', '\\n')
    .replaceAll('\t', '\\t')
    .replaceAll(/[^\x20-\x7e]/g, c => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`)
}

export function unescapeBytes(text: string): Buffer {
  const plain = text.replaceAll(/\\(?:x([0-9a-f]{2})|(.))/g, (_all, hex: string | undefined, c: string | undefined) => {
    if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16))
    return c === 'r' ? '\r' : c === 'n' ? '\n' : c === 't' ? '\t' : c!
  })
  return Buffer.from(plain, 'latin1')
}

/** Decodes a body as Skein sends it, `size CRLF bytes CRLF` ...; null if it is malformed. */
export function decodeChunks(wire: string): { body: string; trailers: string[] } | null {
  let body = ''
  for (let at = 0; ; ) {
    const line = wire.indexOf('\r\n', at)
    if (line < 0) return null
    const size = Number.parseInt(wire.slice(at, line), 16)
    at = line + 2
    if (size === 0) {
      const trailers = wire.slice(at)
      if (!trailers.endsWith('\r\n')) return null
      return { body, trailers: splitFields(trailers.slice(0, -2)) }
    }
    if (!(size > 0) || wire.slice(at + size, at + size + 2) !== '\r\n') return null
    body += wire.slice(at, at + size)
    at += size + 2
  }
}

function splitFields(text: string): string[] {
  return text
    .split('\r\n')
    .slice(0, -1)
    .flatMap(line => [line.slice(0, line.indexOf(':')), trim(line.slice(line.indexOf(':') + 1))])
}

/** Optional white space around a field's value (RFC 9110, 5.6.3): SP and HTAB only. */
function trim(text: string): string {
  return text.replaceAll(/^[ \t]+|[ \t]+$/g, '')
}
