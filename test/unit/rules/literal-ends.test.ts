import { RE2JS } from 're2js'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { literalPrefix, literalSuffix } from '../../../src/rules/literal-ends.ts'
import { seeded } from './fake-request.ts'

test('literal prefixes', () => {
  for (const [pattern, prefix] of [
    ['^/articles/(?:[^/]+)$', '/articles/'],
    ['^/a\\.b/', '/a.b/'],
    ['^/ab?c', '/a'],
    ['^/ab*', '/a'],
    ['^/ab+', '/a'],
    ['^/ab{0}', '/a'],
    ['^/a\\d', '/a'],
    ['^/a|/b', ''],
    ['^/(?:a|b)', '/'],
    ['/a', ''],
    ['(?i)^/a', ''],
    ['^(?i)/a', ''],
    ['^/a(?i)b', ''],
    ['^\\Q/a|b\\E', ''],
  ] as const) {
    assert.is(literalPrefix(pattern), prefix, pattern)
  }
})

test('literal suffixes', () => {
  for (const [pattern, suffix] of [
    ['(?i)^(?:[a-z]+)\\.Shop\\.test$', '.shop.test'],
    ['^(?:[^.]+)\\.x$', '.x'],
    ['^a\\d$', ''],
    ['^a[b]c$', 'c'],
    ['^ab*c$', 'c'],
    ['^ab*$', ''],
    ['^a$|^b$', ''],
    ['^a\\$$', 'a$'],
    ['^a\\$', ''],
    ['a$', ''],
    ['^a(b|c)d$', 'd'],
    ['^[|]x$', 'x'],
    ['^[]|]x$', 'x'],
  ] as const) {
    assert.is(literalSuffix(pattern), suffix, pattern)
  }
})

test('every matching text has the prefix and the suffix', () => {
  const random = seeded(5)
  const pick = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)]!
  const atoms = [
    'a',
    'b',
    'B',
    '\\.',
    '.',
    '[ab]',
    '[^a]',
    '|',
    '(a|b)',
    '(?:a',
    ')',
    '\\\\',
    '\\$',
    '^',
    '$',
    '[]a]',
    '\\b',
    '(?i)',
    '[a\\]]',
  ]
  const repeats = ['', '', '', '*', '+', '?', '{2}', '{0}']
  let known = 0
  for (let n = 0; n < 10_000; n++) {
    let pattern = pick(['^', '(?i)^', ''])
    const length = 1 + Math.floor(random() * 5)
    for (let i = 0; i < length; i++) pattern += pick(atoms) + pick(repeats)
    pattern += pick(['$', ''])
    const prefix = literalPrefix(pattern)
    const suffix = literalSuffix(pattern)
    if (prefix === '' && suffix === '') continue
    let re: RE2JS
    try {
      re = RE2JS.compile(pattern)
    } catch {
      continue
    }
    known++
    for (let k = 0; k < 20; k++) {
      let text = ''
      const size = Math.floor(random() * 5)
      for (let i = 0; i < size; i++) text += pick(['a', 'b', '.', '\\', '$', ']', '|'])
      if (!re.test(text)) continue
      assert.ok(text.startsWith(prefix), `${pattern} begins with ${prefix}: ${text}`)
      assert.ok(text.endsWith(suffix), `${pattern} ends with ${suffix}: ${text}`)
    }
  }
  assert.ok(known > 300, `only ${known}`)
})

test.run()
