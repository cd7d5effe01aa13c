import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { BreakerExpression, Service } from '../../../src/config/model.ts'
import { parseSnapshot } from '../../../src/config/schema.ts'
import { MAX_EXPRESSION, parseBreakerExpression } from '../../../src/rules/breaker-expression.ts'
import { config, service } from '../config/fixtures.ts'

const errors = (is: string, value: number) => ({ kind: 'networkErrorRatio', is, value })
const latency = (quantile: number, is: string, value: number) => ({ kind: 'latencyAtQuantileMs', quantile, is, value })
const codes = (from: number, to: number, ofFrom: number, ofTo: number, is: string, value: number) => ({
  kind: 'responseCodeRatio',
  from,
  to,
  ofFrom,
  ofTo,
  is,
  value,
})

test('expressions that Traefik 1.7 and oxy accept', () => {
  for (const [text, when] of [
    ['NetworkErrorRatio() > 0.5', errors('>', 0.5)],
    ['NetworkErrorRatio()<=.5', errors('<=', 0.5)],
    ['NetworkErrorRatio() >= 5.', errors('>=', 5)],
    ['NetworkErrorRatio ( ) == 5e-1', errors('==', 0.5)],
    ['NetworkErrorRatio() != 1E+0', errors('!=', 1)],
    ['LatencyAtQuantileMS(50.0) > 100', latency(50, '>', 100)],
    ['LatencyAtQuantileMS(99.9) < 1000', latency(99.9, '<', 1000)],
    ['ResponseCodeRatio(500, 600, 0, 600) > 0.5', codes(500, 600, 0, 600, '>', 0.5)],
    ['  ResponseCodeRatio(500,600,0,600)>0.5\n', codes(500, 600, 0, 600, '>', 0.5)],
    ['(NetworkErrorRatio() > 0.5)', errors('>', 0.5)],
    ['NetworkErrorRatio() > 0.1 && LatencyAtQuantileMS(50.0) > 7', { kind: 'and', of: [errors('>', 0.1), latency(50, '>', 7)] }],
    ['NetworkErrorRatio() > 0.1 AND LatencyAtQuantileMS(50) > 7', { kind: 'and', of: [errors('>', 0.1), latency(50, '>', 7)] }],
    [
      'NetworkErrorRatio()>.1||NetworkErrorRatio()>.2&&NetworkErrorRatio()>.3',
      { kind: 'or', of: [errors('>', 0.1), { kind: 'and', of: [errors('>', 0.2), errors('>', 0.3)] }] },
    ],
    [
      '(NetworkErrorRatio()>.1 or NetworkErrorRatio()>.2) and NetworkErrorRatio()>.3',
      { kind: 'and', of: [{ kind: 'or', of: [errors('>', 0.1), errors('>', 0.2)] }, errors('>', 0.3)] },
    ],
    ['!(NetworkErrorRatio() < 0.5)', { kind: 'not', of: errors('<', 0.5) }],
    [
      'NOT NetworkErrorRatio() < 0.5 && NetworkErrorRatio() < 0.9',
      { kind: 'and', of: [{ kind: 'not', of: errors('<', 0.5) }, errors('<', 0.9)] },
    ],
    // Always true: the breaker opens and never closes, as configured.
    ['NetworkErrorRatio() >= 0', errors('>=', 0)],
  ] as const) {
    assert.equal(parseBreakerExpression(text), { ok: true, when }, text)
  }
})

test('mistakes: the message names what was expected and where', () => {
  for (const [text, message] of [
    ['', /NetworkErrorRatio\(\).* at column 1, found nothing/],
    ['NetworkErrorRatio()', /<, <=, >, >=, == or != at column 20, found nothing/],
    ['NetworkErrorRatio() >', /a number .* at column 22, found nothing/],
    ['NetworkErrorRatio > 0.5', /'\(' at column 19, found '>'/],
    ['NetworkErrorRatio() > -1', /a function, a number or an operator at column 23, found '-'/],
    ['NetworkErrorRatio() > 0x10', /&&, \|\| or the end at column 24, found 'x10'/],
    ['NetworkErrorRatio() = 1', /column 21, found '='/],
    ['NetworkErrorRatio() > 1 & NetworkErrorRatio() > 1', /column 25, found '&'/],
    ['NetworkErrorRatio() > 0.5 garbage', /&&, \|\| or the end at column 27, found 'garbage'/],
    ['networkErrorRatio() > 0.5', /NetworkErrorRatio\( at column 1, found 'networkErrorRatio'/],
    ['0.5 < NetworkErrorRatio()', /on the left of a comparison at column 1, found '0.5'/],
    ['1 < 2', /on the left of a comparison at column 1/],
    ['Foo() > 1', /column 1, found 'Foo'/],
    ['LatencyAtQuantileMS() > 1', /a quantile from 0.0 to 100.0 at column 21, found '\)'/],
    ['LatencyAtQuantileMS(101) > 1', /a quantile from 0.0 to 100.0 at column 21, found '101'/],
    ['LatencyAtQuantileMS(50, 1) > 1', /'\)' at column 23, found ','/],
    ['LatencyAtQuantileMS("50") > 1', /column 21, found '"'/],
    ['ResponseCodeRatio(500, 600, 0) > 1', /',' at column 30, found '\)'/],
    ['ResponseCodeRatio(500, 600, 0, 600, 1) > 1', /'\)' at column 35, found ','/],
    ['ResponseCodeRatio(500.5, 600, 0, 600) > 1', /a status from 0 to 1000 .* at column 19, found '500.5'/],
    ['ResponseCodeRatio(500, 6000, 0, 600) > 1', /a status from 0 to 1000 .* at column 24, found '6000'/],
    ['(NetworkErrorRatio() > 0.5', /'\)' at column 27, found nothing/],
    ['NetworkErrorRatio() > 0.5)', /the end at column 26, found '\)'/],
    ['NetworkErrorRatio() > 1e300', /a number from 0 to 1000000000 at column 23/],
    ['NetworkErrorRatio() > 0.1 > 0.2', /&&, \|\| or the end at column 27, found '>'/],
    ['NetworkErrorRatio() > 0.5 && \u{1f986}', /column 30, found '\u{1f986}'/u],
    ['__proto__() > 1', /found '__proto__'/],
    ['constructor() > 1', /found 'constructor'/],
  ] as const) {
    const result = parseBreakerExpression(text)
    assert.is(result.ok, false, text)
    if (!result.ok) assert.match(result.message, message, text)
  }
})

test('bounded in length, depth and parts', () => {
  const one = 'NetworkErrorRatio()>1'
  const refused = (text: string, why: RegExp) => {
    const result = parseBreakerExpression(text)
    assert.is(result.ok, false)
    if (!result.ok) assert.match(result.message, why)
  }
  refused(`${one}${' '.repeat(MAX_EXPRESSION)}`, /at most 1024 characters/)
  assert.ok(parseBreakerExpression(`${'('.repeat(16)}${one}${')'.repeat(16)}`).ok)
  refused(`${'('.repeat(17)}${one}${')'.repeat(17)}`, /at most 16 nested parentheses .* at column 17/)
  refused('('.repeat(1000), /at most 16 nested parentheses/)
  refused('!'.repeat(1000), /at most 16 nested parentheses/)
  let deep = one
  for (let i = 0; i < 8; i++) deep = `(${deep}||${one}&&${one})`
  assert.ok(parseBreakerExpression(deep).ok)
  let alternating = one
  for (let i = 0; i < 9; i++) alternating = `((${alternating}||${one})&&${one})`
  refused(alternating, /at most 16/)
  assert.ok(parseBreakerExpression(Array(40).fill(one).join('||')).ok)
})

test('random text never throws; accepted expressions pass the snapshot schema', () => {
  const words = [
    'NetworkErrorRatio()',
    'LatencyAtQuantileMS(50.0)',
    'ResponseCodeRatio(500, 600, 0, 600)',
    'NetworkErrorRatio() > 0.5',
    'LatencyAtQuantileMS(99) <= 5',
    '&&',
    '||',
    'AND',
    'NOT',
    '!',
    '(',
    ')',
    '>',
    '1',
    '0.5',
    ',',
    ' ',
    '\0',
    'ä',
    '1e9',
  ]
  let seed = 42
  const random = (below: number) => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
    return Math.floor((seed / 2 ** 32) * below)
  }
  const grown = (depth: number): string => {
    const kind = depth === 0 ? 0 : random(5)
    if (kind === 1) return `!${grown(depth - 1)}`
    if (kind === 2) return `(${grown(depth - 1)})`
    if (kind === 3) return `${grown(depth - 1)} && ${grown(depth - 1)}`
    if (kind === 4) return `(${grown(depth - 1)} || ${grown(depth - 1)})`
    return words[3 + random(2)]!
  }
  let taken = 0
  for (let i = 0; i < 3_000; i++) {
    const text = i % 2 === 0 ? grown(random(9)) : Array.from({ length: random(12) }, () => words[random(words.length)]).join('')
    const result = parseBreakerExpression(text)
    if (!result.ok) {
      assert.ok(result.message.length < 300)
      continue
    }
    taken++
    if (i % 50 === 0) assert.ok(fits(result.when, text), text)
  }
  assert.ok(taken > 500, `${taken}`)
  assert.ok(fits(deepest(), ''))
})

/** The deepest accepted expression. */
function deepest(): BreakerExpression {
  let text = 'NetworkErrorRatio()>1'
  for (let more = text; ; ) {
    more = `(${more}||NetworkErrorRatio()>1)&&LatencyAtQuantileMS(1)>1`
    const result = parseBreakerExpression(more)
    if (!result.ok) break
    text = more
  }
  const result = parseBreakerExpression(text)
  if (!result.ok) throw new Error(result.message)
  return result.when
}

function fits(when: BreakerExpression, expression: string): boolean {
  const breaker: Service['breaker'] = { expression, when, minRequests: 1, openMs: 1_000, recoveryMs: 1_000 }
  const services = { app: service('app', { breaker }) }
  const revision = { term: 0, leader: '', sequence: 1 }
  return parseSnapshot({ ...config(['app'], { services }), revision, hash: '0'.repeat(64) }).ok
}

test.run()
