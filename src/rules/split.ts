// Splits a rule at its separators. A separator inside braces belongs to a regular expression (`{id:[0-9]{1,3}}`) and does not
// count; where the braces of the text do not balance they protect nothing, so that every rule Traefik v1 accepts is split as it
// splits it.

/** The pieces between separators, not trimmed, empty ones included. */
export function splitOutsideBraces(text: string, separator: ',' | ';' | '='): string[] {
  if (!text.includes('{') || !balanced(text)) return text.split(separator)
  const pieces: string[] = []
  let depth = 0
  let from = 0
  for (let i = 0; i < text.length; i++) {
    const c = text[i]
    if (c === '{') depth++
    else if (c === '}') depth--
    else if (c === separator && depth === 0) {
      pieces.push(text.slice(from, i))
      from = i + 1
    }
  }
  pieces.push(text.slice(from))
  return pieces
}

function balanced(text: string): boolean {
  let depth = 0
  for (const c of text) {
    if (c === '{') depth++
    else if (c === '}' && --depth < 0) return false
  }
  return depth === 0
}
