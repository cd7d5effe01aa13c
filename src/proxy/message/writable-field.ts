// Which fields a middleware may write into a request, a response or a reply. Everything else would change the framing of a message,
// or what a connection carries (RFC 9110, 5.5, 5.6.2 and 7.6.1).

/** Fields that the codec or the relay writes, or that belong to one connection. */
const RESERVED: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'keep-alive',
  'skein-relay',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
/** Heads are written as latin1: a character above U+00FF would lose its upper byte, and U+010D would become a CR. */
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/

export function isReserved(lowerName: string): boolean {
  return RESERVED.has(lowerName)
}

/** False if the field is reserved, or if name or value has a character that a field cannot carry. */
export function mayWrite(lowerName: string, value: string): boolean {
  return !RESERVED.has(lowerName) && TOKEN.test(lowerName) && VALUE.test(value)
}
