// Finds the literal text with which every match of a pattern begins or ends, for indexes: `^/articles/(?:[^/]+)$` begins with
// `/articles/`, `^(?:[a-z]+)\.shop\.test$` ends with `.shop.test`. '' means unknown. The result is never wrong, but may be
// shorter than possible.

/** The prefix of every matching text; '' unless the pattern is anchored with `^` and case-sensitive. */
export function literalPrefix(pattern: string): string {
  if (!pattern.startsWith('^') || !oneBranch(pattern)) return ''
  let text = ''
  let at = 1
  while (at < pattern.length) {
    let c = pattern[at]!
    let width = 1
    if (c === '\\') {
      c = pattern[at + 1] ?? ''
      width = 2
      if (!PUNCTUATION.test(c)) break
    } else if (!PLAIN.test(c)) {
      break
    }
    // An element with a quantifier may be absent or repeated.
    if (/[*+?{]/.test(pattern[at + width] ?? '')) break
    text += c
    at += width
  }
  return text
}

/** The suffix of every matching text, in lower case if the pattern ignores case; '' unless it is anchored with `^` and `$`. */
export function literalSuffix(pattern: string): string {
  const folds = pattern.startsWith('(?i)^')
  if (!(folds || pattern.startsWith('^')) || !pattern.endsWith('$') || !oneBranch(pattern)) return ''
  const first = folds ? 5 : 1
  let at = pattern.length - 2
  if (escaped(pattern, at + 1)) return ''
  let text = ''
  while (at >= first) {
    const c = pattern[at]!
    if (escaped(pattern, at)) {
      if (!PUNCTUATION.test(c)) break
      at -= 2
    } else {
      if (!PLAIN.test(c)) break
      at--
    }
    text = c + text
  }
  return folds ? text.toLowerCase() : text
}

const PLAIN = /[\w/%~!@&=:;,<>"' -]/
const PUNCTUATION = /[!-/:-@[-`{-~]/

function escaped(pattern: string, at: number): boolean {
  let slashes = 0
  while (pattern[at - 1 - slashes] === '\\') slashes++
  return slashes % 2 === 1
}

/** True when the pattern has no `|` outside groups and no construct that changes how it is read. */
function oneBranch(pattern: string): boolean {
  if (pattern.includes('\\Q') || pattern.includes('[:')) return false
  let depth = 0
  for (let i = 0; i < pattern.length; i++) {
    const c = pattern[i]
    if (c === '\\') i++
    else if (c === '[') {
      // A `]` at the start of a class is a member of it.
      i += pattern[i + 1] === '^' ? 2 : 1
      while (++i < pattern.length && pattern[i] !== ']') if (pattern[i] === '\\') i++
    } else if (c === '(') {
      if (pattern[i + 1] === '?' && i > 0 && !/^\(\?(?::|P?<)/.test(pattern.slice(i, i + 4))) return false
      depth++
    } else if (c === ')') depth--
    else if (c === '|' && depth === 0) return false
  }
  return depth === 0
}
