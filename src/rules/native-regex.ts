// Translates RE2 patterns to the native RegExp engine, which is about twenty times faster than a linear engine in JavaScript,
// where that is safe. A pattern is translated only when it is proven to match the same texts without dangerous backtracking:
// one sequence of characters, classes and prefix-free alternatives, in which at most one repetition can end in more than one
// place. Other patterns use re2js. Texts are latin1, as the codec reads them. test/unit/rules/native-regex.test.ts compares
// both engines.

/** One flag per latin1 character, and one for all characters above. */
type CharSet = Uint8Array

type Item =
  | { readonly kind: 'set'; readonly set: CharSet; readonly min: number; readonly max: number }
  /** Literals of which none is a prefix of another: at most one matches at any position. */
  | { readonly kind: 'words'; readonly words: readonly string[] }

interface Parsed {
  readonly anchoredStart: boolean
  readonly anchoredEnd: boolean
  readonly items: readonly Item[]
}

const ABOVE = 256
/** Longest sequence after the one ambiguous repetition: each of its possible ends costs at most this many steps. */
const MAX_TAIL = 128
const MAX_REPEAT = 1_000

/** The native equivalent of an RE2 pattern for a test, or null when it is not proven equivalent and harmless. */
export function toNative(pattern: string): RegExp | null {
  const parsed = new Parser(pattern).parse()
  return parsed !== null && isHarmless(parsed) ? build(parsed) : null
}

class Parser {
  readonly #text: string
  readonly #foldCase: boolean
  #at = 0

  constructor(pattern: string) {
    this.#foldCase = pattern.startsWith('(?i)')
    this.#text = this.#foldCase ? pattern.slice(4) : pattern
  }

  parse(): Parsed | null {
    // Only ASCII patterns, where case folding and classes are simple.
    if (/[^\x20-\x7e]/.test(this.#text)) return null
    const anchoredStart = this.#text[0] === '^'
    if (anchoredStart) this.#at = 1
    const items: Item[] = []
    if (!this.#sequence(items, 0)) return null
    const anchoredEnd = this.#text[this.#at] === '$'
    if (anchoredEnd) this.#at++
    return this.#at === this.#text.length ? { anchoredStart, anchoredEnd, items } : null
  }

  /** Items up to the end, a `$`, or the `)` that closes the group. */
  #sequence(into: Item[], depth: number): boolean {
    while (this.#at < this.#text.length) {
      const c = this.#text[this.#at]!
      if (c === ')') return depth > 0
      if (c === '$') return depth === 0
      if (c === '(') {
        if (!this.#group(into, depth)) return false
        continue
      }
      const set = this.#set()
      if (set === null) return false
      const repeat = this.#repeat()
      if (repeat === null) return false
      into.push({ kind: 'set', set, min: repeat.min, max: repeat.max })
    }
    return depth === 0
  }

  /** `(...)`, `(?:...)`: a sequence, or alternatives of plain words; without a quantifier. */
  #group(into: Item[], depth: number): boolean {
    if (depth > 8) return false
    const found = /^\((?:\?:)?/.exec(this.#text.slice(this.#at))
    this.#at += found?.[0].length ?? 1
    if (this.#text[this.#at] === '?') return false
    const words = this.#words()
    if (words !== null) into.push(words)
    else if (!this.#sequence(into, depth + 1)) return false
    if (this.#text[this.#at] !== ')') return false
    this.#at++
    return !/^[*+?{]/.test(this.#text.slice(this.#at))
  }

  #words(): Item | null {
    const found = /^[\w./-]+(?:\|[\w./-]+)+(?=\))/.exec(this.#text.slice(this.#at))
    // A dot would match any character.
    if (found === null || found[0].includes('.') || this.#foldCase) return null
    const words = found[0].split('|')
    if (words.some((a, i) => words.some((b, j) => i !== j && b.startsWith(a)))) return null
    this.#at += found[0].length
    return { kind: 'words', words }
  }

  #set(): CharSet | null {
    const c = this.#text[this.#at]!
    if ('*+?{|^'.includes(c)) return null
    if (c === '[') return this.#class()
    this.#at++
    if (c === '.') return negated(only('\n'))
    if (c === '\\') return this.#escape()
    if (c === ']' || c === '}') return null
    return this.#folded(only(c))
  }

  #escape(): CharSet | null {
    const c = this.#text[this.#at++]
    if (c === undefined) return null
    const known = CLASSES[c]
    if (known !== undefined) return known()
    return /[0-9A-Za-z]/.test(c) ? null : only(c)
  }

  #class(): CharSet | null {
    const found = /^\[(\^?)((?:[^\][\\]|\\[dDwWsS\\\].^/-])+)\]/.exec(this.#text.slice(this.#at))
    if (found === null) return null
    this.#at += found[0].length
    const set = empty()
    const body = found[2]!
    for (let i = 0; i < body.length; ) {
      let c = body[i]!
      let width = 1
      if (c === '\\') {
        c = body[i + 1]!
        width = 2
        const known = CLASSES[c]
        if (known !== undefined) {
          if (body[i + 2] === '-') return null
          merge(set, known())
          i += 2
          continue
        }
      }
      if (body[i + width] === '-' && i + width + 1 < body.length) {
        const to = body[i + width + 1]!
        if (to === '\\' || to < c) return null
        for (let code = c.charCodeAt(0); code <= to.charCodeAt(0); code++) set[code] = 1
        i += width + 2
      } else {
        set[c.charCodeAt(0)] = 1
        i += width
      }
    }
    const folded = this.#folded(set)
    return found[1] === '^' ? negated(folded) : folded
  }

  #folded(set: CharSet): CharSet {
    if (!this.#foldCase) return set
    for (let upper = 0x41; upper <= 0x5a; upper++) {
      if (set[upper] === 1 || set[upper + 32] === 1) set[upper] = set[upper + 32] = 1
    }
    return set
  }

  /** The quantifier, or null when it is not known to be safe. Lazy quantifiers match the same texts as greedy ones. */
  #repeat(): { min: number; max: number } | null {
    const found = /^(?:[*+?]|\{(\d{1,4})(?:,(\d{0,4}))?\})/.exec(this.#text.slice(this.#at))
    if (found === null) return this.#text[this.#at] === '{' ? null : { min: 1, max: 1 }
    this.#at += found[0].length
    if (this.#text[this.#at] === '?') this.#at++
    if (/^[*+?{]/.test(this.#text.slice(this.#at))) return null
    if (found[0] === '*') return { min: 0, max: Number.POSITIVE_INFINITY }
    if (found[0] === '+') return { min: 1, max: Number.POSITIVE_INFINITY }
    if (found[0] === '?') return { min: 0, max: 1 }
    const min = Number(found[1])
    const max = found[2] === undefined ? min : found[2] === '' ? Number.POSITIVE_INFINITY : Number(found[2])
    return min <= MAX_REPEAT && (max === Number.POSITIVE_INFINITY || max <= MAX_REPEAT) && min <= max ? { min, max } : null
  }
}

/**
 * A repetition is unambiguous when no character can both continue it and start what follows: it ends in one place and never
 * backtracks. One repetition may be ambiguous if what follows is short. Without `^` the engine tries every start, so nothing
 * may repeat without bound.
 */
function isHarmless(parsed: Parsed): boolean {
  const { items, anchoredStart } = parsed
  if (!anchoredStart && maxLength(items) > MAX_TAIL) return false
  let ambiguous = 0
  for (let i = 0; i < items.length; i++) {
    const item = items[i]!
    if (item.kind === 'words' || item.min === item.max) continue
    if (!anchoredStart) return false
    const after = follow(items, i + 1)
    if (after === 'end' || disjoint(item.set, after)) continue
    ambiguous++
    if (maxLength(items.slice(i + 1)) > MAX_TAIL) return false
  }
  return ambiguous <= 1
}

/** The characters that may come next, up to the first item that is required; 'end' when nothing can follow. */
function follow(items: readonly Item[], from: number): CharSet | 'end' {
  const set = empty()
  for (let i = from; i < items.length; i++) {
    const item = items[i]!
    if (item.kind === 'words') {
      for (const word of item.words) set[word.charCodeAt(0)] = 1
      return set
    }
    merge(set, item.set)
    if (item.min > 0) return set
  }
  return from >= items.length ? 'end' : set
}

function maxLength(items: readonly Item[]): number {
  let sum = 0
  for (const item of items) sum += item.kind === 'words' ? Math.max(...item.words.map(w => w.length)) : item.max
  return sum
}

function build(parsed: Parsed): RegExp {
  let source = parsed.anchoredStart ? '^' : ''
  for (const item of parsed.items) {
    if (item.kind === 'words') source += `(?:${item.words.join('|')})`
    else source += `${classOf(item.set)}${quantifier(item.min, item.max)}`
  }
  return new RegExp(source + (parsed.anchoredEnd ? '$' : ''))
}

function classOf(set: CharSet): string {
  let body = ''
  for (let code = 0; code < ABOVE; code++) {
    if (set[code] !== 1) continue
    const from = code
    while (code + 1 < ABOVE && set[code + 1] === 1) code++
    body += from === code ? hex(from) : `${hex(from)}-${hex(code)}`
  }
  if (set[ABOVE] === 1) body += '\\u0100-\\uffff'
  return `[${body}]`
}

function hex(code: number): string {
  return `\\x${code.toString(16).padStart(2, '0')}`
}

function quantifier(min: number, max: number): string {
  if (min === 1 && max === 1) return ''
  if (max === Number.POSITIVE_INFINITY) return min === 0 ? '*' : min === 1 ? '+' : `{${min},}`
  return `{${min},${max}}`
}

function empty(): CharSet {
  return new Uint8Array(ABOVE + 1)
}

function only(...characters: readonly string[]): CharSet {
  const set = empty()
  for (const c of characters) set[c.charCodeAt(0)] = 1
  return set
}

function span(...ranges: readonly string[]): CharSet {
  const set = empty()
  for (const range of ranges) for (let code = range.charCodeAt(0); code <= range.charCodeAt(1); code++) set[code] = 1
  return set
}

function negated(set: CharSet): CharSet {
  return set.map(value => 1 - value)
}

function merge(into: CharSet, set: CharSet): void {
  for (let i = 0; i <= ABOVE; i++) if (set[i] === 1) into[i] = 1
}

function disjoint(a: CharSet, b: CharSet): boolean {
  for (let i = 0; i <= ABOVE; i++) if (a[i] === 1 && b[i] === 1) return false
  return true
}

/** RE2's Perl classes are ASCII, and its `\s` has no vertical tab. */
const CLASSES: Readonly<Record<string, () => CharSet>> = {
  d: () => span('09'),
  D: () => negated(span('09')),
  w: () => span('09', 'AZ', 'az', '__'),
  W: () => negated(span('09', 'AZ', 'az', '__')),
  s: () => only('\t', '\n', '\f', '\r', ' '),
  S: () => negated(only('\t', '\n', '\f', '\r', ' ')),
}
