import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseTemplate } from '../../../src/rules/template.ts'

test('text without braces is literal', () => {
  assert.equal(parseTemplate('/a.b', '[^/]+'), { ok: true, kind: 'literal', text: '/a.b' })
})

test('variables become groups, the rest is quoted', () => {
  const cases: [string, string][] = [
    ['/articles/{category}/{id:[0-9]+}', '/articles/(?:[^/]+)/(?:[0-9]+)'],
    ['{id:[0-9]{1,3}}', '(?:[0-9]{1,3})'],
    ['/a.b/{x}', '/a\\.b/(?:[^/]+)'],
    ['{a:x|y}z', '(?:x|y)z'],
    ['{a:(?:b:c)}', '(?:(?:b:c))'],
  ]
  for (const [text, pattern] of cases) assert.equal(parseTemplate(text, '[^/]+'), { ok: true, kind: 'pattern', pattern }, text)
})

test('the transformation touches literals only', () => {
  assert.equal(
    parseTemplate('a{x:a}a', '', t => t.toUpperCase()),
    { ok: true, kind: 'pattern', pattern: 'A(?:a)A' },
  )
})

test('braces must balance, and a variable needs a name', () => {
  for (const [text, message] of [
    ['{a', /never closed/],
    ['a}', /too many/],
    ['{}', /\{name\}/],
    ['{:[0-9]}', /\{name\}/],
    ['{a:}', /\{name\}/],
  ] as const) {
    const result = parseTemplate(text, '.*')
    assert.not.ok(result.ok, text)
    if (!result.ok) assert.match(result.message, message)
  }
})

test.run()
