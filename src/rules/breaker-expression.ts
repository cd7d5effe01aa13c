// Parses Traefik's circuit breaker expressions, `NetworkErrorRatio() > 0.5 || LatencyAtQuantileMS(50.0) > 100`, to a tree. The
// grammar is that of Go expressions as vulcand/predicate parses them, the functions are those of vulcand/oxy's cbreaker.
// Additions to Traefik 1.7: `!`, the words AND, OR and NOT, and integers where oxy expects a fraction (and vice versa). As in
// oxy, the function is the left operand of a comparison. Pure, bounded, never throws.

import type { BreakerExpression, Comparison } from '../config/model.ts'
import { LIMITS } from '../config/schema.ts'

export type BreakerExpressionResult =
  | { readonly ok: true; readonly when: BreakerExpression }
  /** What was expected and where: `a number at column 23, found ')'`. */
  | { readonly ok: false; readonly message: string }

/** Longest expression, in characters. */
export const MAX_EXPRESSION = 1_024
/** Nested parentheses and negations, as written. */
const MAX_DEPTH = 16
/** Largest number in a comparison: the limit of the schema of snapshots. */
const MAX_FIGURE = 1e9
const MAX_CODE = 1_000

const FUNCTIONS = ['NetworkErrorRatio', 'LatencyAtQuantileMS', 'ResponseCodeRatio'] as const
const COMPARISONS: readonly string[] = ['<', '<=', '>', '>=', '==', '!=']
const OPERAND = 'NetworkErrorRatio(), LatencyAtQuantileMS(...) or ResponseCodeRatio(...)'

export function parseBreakerExpression(text: string): BreakerExpressionResult {
  if (text.length > MAX_EXPRESSION) return { ok: false, message: `at most ${MAX_EXPRESSION} characters, found ${text.length}` }
  try {
    return { ok: true, when: new Parser(tokens(text), text.length).parse() }
  } catch (error) {
    if (error instanceof Unexpected) return { ok: false, message: error.message }
    throw error
  }
}

class Unexpected extends Error {}

interface Token {
  readonly kind: 'number' | 'word' | 'sign' | 'end'
  readonly text: string
  /** Offset from 0. */
  readonly at: number
}

/** A Go number (decimal; strconv.Atoi accepts no other base), a word or an operator, after optional whitespace. */
const TOKEN = /\s*(?:((?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)|([A-Za-z_][A-Za-z_0-9]*)|(&&|\|\||[<>=!]=|[<>!(),]))/y

function tokens(text: string): Token[] {
  const out: Token[] = []
  const end = text.trimEnd().length
  TOKEN.lastIndex = 0
  while (TOKEN.lastIndex < end) {
    const from = TOKEN.lastIndex
    const found = TOKEN.exec(text)
    if (found === null) {
      const at = from + (/^\s*/.exec(text.slice(from))?.[0].length ?? 0)
      throw unexpected('a function, a number or an operator', {
        kind: 'sign',
        text: String.fromCodePoint(text.codePointAt(at)!),
        at,
      })
    }
    const [, number, word] = found
    const kind = number !== undefined ? 'number' : word !== undefined ? 'word' : 'sign'
    const token = found[0].trimStart()
    out.push({ kind, text: token, at: TOKEN.lastIndex - token.length })
  }
  return out
}

function unexpected(expected: string, token: Token): Unexpected {
  const found = token.kind === 'end' ? 'nothing' : `'${token.text.slice(0, 40)}'`
  return new Unexpected(`${expected} at column ${token.at + 1}, found ${found}`)
}

/** Depth of the tree; bounded, because members exchange it. */
function levels(when: BreakerExpression): number {
  switch (when.kind) {
    case 'and':
    case 'or':
      return 1 + Math.max(...when.of.map(levels))
    case 'not':
      return 1 + levels(when.of)
    default:
      return 0
  }
}

class Parser {
  private readonly tokens: readonly Token[]
  private readonly end: Token
  private next = 0
  private depth = 0
  private parts = 0

  constructor(all: readonly Token[], length: number) {
    this.tokens = all
    this.end = { kind: 'end', text: '', at: length }
  }

  parse(): BreakerExpression {
    const when = this.disjunction()
    const rest = this.peek()
    if (rest.kind !== 'end') throw unexpected('&&, || or the end', rest)
    if (levels(when) > LIMITS.matcherDepth) throw new Unexpected(`at most ${LIMITS.matcherDepth} levels of !, && and ||`)
    return when
  }

  private peek(): Token {
    return this.tokens[this.next] ?? this.end
  }

  private take(): Token {
    const token = this.peek()
    this.next++
    return token
  }

  /** Consumes the sign, or the equivalent word. */
  private takeIf(sign: string, word = ''): boolean {
    const { kind, text } = this.peek()
    const found = kind === 'sign' ? text === sign : kind === 'word' && word !== '' && text.toUpperCase() === word
    if (found) this.next++
    return found
  }

  private expect(sign: string): void {
    const token = this.take()
    if (token.kind !== 'sign' || token.text !== sign) throw unexpected(`'${sign}'`, token)
  }

  private disjunction(): BreakerExpression {
    const of = [this.conjunction()]
    while (this.takeIf('||', 'OR')) of.push(this.conjunction())
    return of.length === 1 ? of[0]! : { kind: 'or', of }
  }

  private conjunction(): BreakerExpression {
    const of = [this.term()]
    while (this.takeIf('&&', 'AND')) of.push(this.term())
    return of.length === 1 ? of[0]! : { kind: 'and', of }
  }

  private term(): BreakerExpression {
    const token = this.peek()
    if (this.takeIf('!', 'NOT')) return { kind: 'not', of: this.nested(token, () => this.term()) }
    if (this.takeIf('(')) {
      const inner = this.nested(token, () => this.disjunction())
      this.expect(')')
      return inner
    }
    return this.comparison()
  }

  private nested(token: Token, parse: () => BreakerExpression): BreakerExpression {
    this.depth++
    if (this.depth > MAX_DEPTH) throw unexpected(`at most ${MAX_DEPTH} nested parentheses and negations`, token)
    const inner = parse()
    this.depth--
    return inner
  }

  private comparison(): BreakerExpression {
    const token = this.take()
    this.parts++
    if (this.parts > LIMITS.breakerParts) throw unexpected(`at most ${LIMITS.breakerParts} comparisons`, token)
    const name = FUNCTIONS.find(known => known === token.text)
    if (token.kind !== 'word' || name === undefined) throw this.unexpectedOperand(token)
    this.expect('(')
    switch (name) {
      case 'NetworkErrorRatio':
        this.expect(')')
        return { kind: 'networkErrorRatio', ...this.bound() }
      case 'LatencyAtQuantileMS': {
        const quantile = this.number('a quantile from 0.0 to 100.0', 100)
        this.expect(')')
        return { kind: 'latencyAtQuantileMs', quantile, ...this.bound() }
      }
      case 'ResponseCodeRatio': {
        const from = this.code(',')
        const to = this.code(',')
        const ofFrom = this.code(',')
        const ofTo = this.code(')')
        return { kind: 'responseCodeRatio', from, to, ofFrom, ofTo, ...this.bound() }
      }
    }
  }

  private unexpectedOperand(token: Token): Unexpected {
    if (token.kind === 'number') return unexpected(`${OPERAND} on the left of a comparison`, token)
    const meant = FUNCTIONS.find(known => known.toLowerCase() === token.text.toLowerCase())
    return unexpected(meant === undefined ? OPERAND : `${meant}(`, token)
  }

  private bound(): { readonly is: Comparison; readonly value: number } {
    const token = this.take()
    if (token.kind !== 'sign' || !COMPARISONS.includes(token.text)) throw unexpected('<, <=, >, >=, == or !=', token)
    return { is: token.text as Comparison, value: this.number(`a number from 0 to ${MAX_FIGURE}`, MAX_FIGURE) }
  }

  private number(expected: string, max: number): number {
    const token = this.take()
    const value = token.kind === 'number' ? Number(token.text) : Number.NaN
    if (!(value >= 0 && value <= max)) throw unexpected(expected, token)
    return value
  }

  private code(closing: ',' | ')'): number {
    const expected = `a status from 0 to ${MAX_CODE} (four of them: from, to, of from, of to)`
    const token = this.peek()
    const value = this.number(expected, MAX_CODE)
    if (!Number.isInteger(value)) throw unexpected(expected, token)
    this.expect(closing)
    return value
  }
}
