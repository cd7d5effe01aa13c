// Compares both engines on random patterns and texts that resemble rules, and checks that no pattern with dangerous
// backtracking is translated.

import { RE2JS } from 're2js'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { toNative } from '../../../src/rules/native-regex.ts'
import { seeded } from './fake-request.ts'

test('the patterns of common rules run natively', () => {
  for (const pattern of [
    '(?i)^(?:[a-z]+)\\.localhost$',
    '(?i)^(?:.+)\\.example\\.com$',
    '^/articles/(?:[^/]+)/(?:[0-9]+)$',
    '^/(?:en|de|fr)/',
    '^/v(?:[0-9]{1,3})/',
    '^/static/(?:.*)$',
    'application/json',
  ]) {
    assert.ok(toNative(pattern), pattern)
  }
})

test('patterns that may backtrack or differ do not run natively', () => {
  for (const pattern of [
    '^(a+)+$',
    '(x+x+)+y',
    '^a*a*a*a*b$',
    '^(a|ab)(c|bcd)(d*)$',
    '^.*.*x$',
    '^a?a?a?aaa$',
    'a+b',
    '^(?:a|a)*$',
    '^\\pL+$',
    '^\\bx$',
    '^(?P<n>a)$',
    '^é$',
    '^a{2000}$',
    '(?s)^.$',
    '^[[:alpha:]]+$',
    `^.*${'a'.repeat(200)}$`,
  ]) {
    assert.is(toNative(pattern), null, pattern)
  }
})

test('both engines agree on random patterns and texts', () => {
  const random = seeded(7)
  const pick = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)]!
  const atoms = [
    'a',
    'b',
    '\\.',
    '.',
    '[a-c]',
    '[^/]',
    '[^a]',
    '\\d',
    '\\w',
    '\\s',
    '\\S',
    '/',
    '-',
    '[ab-]',
    '(?:ab|cd)',
    '(ab)',
    '[\\d.]',
    'A',
    '[--a]',
    '[+--]',
    '\\W',
    '[^\\w/]',
  ]
  const repeats = ['', '', '', '*', '+', '?', '{2}', '{1,3}', '{2,}', '+?']
  const letters = ['a', 'b', 'c', 'd', 'A', 'B', '.', '/', '-', '1', ' ', '\n', '\v', '\xe9', '_', '\xff']
  let native = 0
  for (let n = 0; n < 2_000; n++) {
    let pattern = pick(['', '^', '^', '(?i)^', '(?i)'])
    const length = 1 + Math.floor(random() * 4)
    for (let i = 0; i < length; i++) pattern += pick(atoms) + pick(repeats)
    pattern += pick(['', '$', '$'])
    let re: RE2JS
    try {
      re = RE2JS.compile(pattern)
    } catch {
      continue
    }
    const regexp = toNative(pattern)
    if (regexp === null) continue
    native++
    for (let k = 0; k < 12; k++) {
      let text = ''
      const size = Math.floor(random() * 7)
      for (let i = 0; i < size; i++) text += pick(letters)
      assert.is(regexp.test(text), re.test(text), `${pattern} on ${JSON.stringify(text)} as ${regexp.source}`)
    }
  }
  assert.ok(native > 300, `only ${native} of the patterns ran natively`)
})

test('every translated pattern is fast on adversarial texts', () => {
  const random = seeded(11)
  const pick = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)]!
  const atoms = ['a', '[ab]', '.', '(?:ab|b)', 'b', '[^c]']
  const repeats = ['', '*', '+', '?', '{1,40}', '{3,}']
  const hurt = `${'a'.repeat(2_000)}c`
  let native = 0
  for (let n = 0; n < 2_000; n++) {
    let pattern = pick(['^', ''])
    for (let i = 0; i < 3; i++) pattern += pick(atoms) + pick(repeats)
    const regexp = toNative(`${pattern}$`)
    // Endless backtracking would hang this test.
    if (regexp === null) continue
    native++
    regexp.test(hurt)
  }
  assert.ok(native > 100, `only ${native} passed`)
})

test.run()
