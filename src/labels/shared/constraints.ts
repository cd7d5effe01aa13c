// Traefik v1's constraints: `tag==public-*` keeps services with a matching tag, `tag!=internal` those without one. All must
// hold. Specification: https://doc.traefik.io/traefik/v1.7/configuration/commons/#constraints; in globs only `*` is special, as
// in v1.

export interface Constraint {
  readonly mustMatch: boolean
  readonly glob: string
}

/** Parses `tag==GLOB` or `tag!=GLOB`; null when it is neither. */
export function parseConstraint(text: string): Constraint | null {
  const found = /^\s*tag\s*(==|!=)\s*(\S(?:.*\S)?)\s*$/.exec(text.slice(0, 1_024))
  if (found === null) return null
  return { mustMatch: found[1] === '==', glob: found[2] ?? '' }
}

/** True when every constraint holds for these tags. */
export function meetsConstraints(tags: readonly string[], constraints: readonly Constraint[]): boolean {
  return constraints.every(c => tags.some(tag => globMatches(c.glob, tag)) === c.mustMatch)
}

/** `*` matches any text, every other character itself. Linear: each piece is searched once, from left to right. */
export function globMatches(glob: string, text: string): boolean {
  const pieces = glob.split('*')
  const first = pieces[0] ?? ''
  if (pieces.length === 1) return glob === text
  const last = pieces[pieces.length - 1] ?? ''
  if (!text.startsWith(first) || !text.endsWith(last) || text.length < first.length + last.length) return false
  let at = first.length
  const end = text.length - last.length
  for (const piece of pieces.slice(1, -1)) {
    const found = text.indexOf(piece, at)
    if (found < 0 || found + piece.length > end) return false
    at = found + piece.length
  }
  return true
}
