// Parses label values. Formats are those of Go's standard library, which Traefik v1 uses (strconv.ParseBool, strconv.Atoi,
// time.ParseDuration). A malformed value gives null; the caller reports it.

/** `1 t T true TRUE True` or `0 f F false FALSE False`. */
export function parseBool(text: string): boolean | null {
  if (['1', 't', 'T', 'true', 'TRUE', 'True'].includes(text)) return true
  if (['0', 'f', 'F', 'false', 'FALSE', 'False'].includes(text)) return false
  return null
}

/** A decimal integer within [min, max], and within what a double holds exactly (53 bits). */
export function parseInteger(text: string, min: number, max: number): number | null {
  if (!/^[+-]?[0-9]{1,16}$/.test(text)) return null
  const value = Number(text)
  return Number.isSafeInteger(value) && value >= min && value <= max ? value : null
}

/** True for a decimal integer of any size. */
export function isInteger(text: string): boolean {
  return /^[+-]?[0-9]+$/.test(text)
}

const UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
}

/** A Go duration (`1m30s`, `500ms`) in whole milliseconds within [minMs, maxMs]. */
export function parseDurationMs(text: string, minMs: number, maxMs: number): number | null {
  if (text.length > 64 || !/^(?:[0-9]+(?:\.[0-9]+)?(?:ns|us|µs|μs|ms|s|m|h))+$/.test(text)) return null
  let total = 0
  for (const [, amount, unit] of text.matchAll(/([0-9]+(?:\.[0-9]+)?)([a-zµμ]+)/g))
    total += Number(amount) * (UNIT_MS[unit ?? ''] ?? 0)
  const ms = Math.round(total)
  return ms >= minMs && ms <= maxMs ? ms : null
}

/** Comma-separated values, trimmed, without empty or repeated ones. */
export function parseList(text: string): string[] {
  const values = text
    .split(',')
    .map(value => value.trim())
    .filter(value => value !== '')
  return [...new Set(values)]
}

export const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$/
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]{0,4096}$/

/** Traefik v1's map of headers, `Name:value||Other:value`; `wrong`: the parts that are not headers. */
export function parseHeaders(text: string): { readonly headers: Record<string, string>; readonly wrong: readonly string[] } {
  const headers: Record<string, string> = {}
  const wrong: string[] = []
  for (const part of text.split('||')) {
    const colon = part.indexOf(':')
    const name = part.slice(0, Math.max(colon, 0)).trim()
    const value = part.slice(colon + 1).trim()
    if (TOKEN.test(name) && HEADER_VALUE.test(value)) headers[name] = value
    else wrong.push(part)
  }
  return { headers, wrong }
}
