// Splits a rule at its separators. A separator inside braces is part of a regular expression (`{id:[0-9]{1,3}}`). Unbalanced
// braces protect nothing, so every rule that Traefik v1 accepts is split as in Traefik.

/** The pieces between separators, untrimmed, including empty ones. */
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
