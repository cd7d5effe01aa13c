// Finds one parameter in a query as received, without building a map of all. Names and values are compared decoded ('+' is a
// space, %XX a byte), as Go's url.ParseQuery gives them to Traefik. The first of several values is used.

/** The first value of a parameter, decoded; null when the name is absent. */
export function queryValue(query: string | null, name: string): string | null {
  if (query === null) return null
  let at = 0
  while (at <= query.length) {
    let end = query.indexOf('&', at)
    if (end < 0) end = query.length
    if (end > at) {
      let equals = query.indexOf('=', at)
      if (equals < 0 || equals > end) equals = end
      if (nameIs(query, at, equals, name)) return equals === end ? '' : decode(query.slice(equals + 1, end))
    }
    at = end + 1
  }
  return null
}

function nameIs(query: string, from: number, to: number, name: string): boolean {
  if (to - from === name.length && query.startsWith(name, from)) return true
  // Only an encoded name can be longer than its decoded form.
  if (to - from < name.length) return false
  const raw = query.slice(from, to)
  return (raw.includes('%') || raw.includes('+')) && decode(raw) === name
}

/** Decodes percent-encoded UTF-8; malformed text is returned unchanged. */
function decode(raw: string): string {
  if (!raw.includes('%') && !raw.includes('+')) return raw
  const spaced = raw.replaceAll('+', ' ')
  try {
    return decodeURIComponent(spaced)
  } catch {
    return spaced
  }
}
