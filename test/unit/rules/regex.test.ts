import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { compileRegex, MAX_INPUT_LENGTH, parseReplacement, quoteRegex, type Regex } from '../../../src/rules/regex.ts'

function regex(pattern: string): Regex {
  const result = compileRegex(pattern)
  assert.ok(result.ok, result.ok ? '' : result.message)
  return (result as { regex: Regex }).regex
}

test('matches anywhere unless anchored', () => {
  assert.ok(regex('b+').test('abbc'))
  assert.not.ok(regex('^b+').test('abbc'))
  assert.ok(regex('(?i)^ab$').test('AB'))
})

test('prefixLength: the length of a match at the start only', () => {
  assert.is(regex('^/c/(?:[^/]+)/(?:[0-9]+)/').prefixLength('/c/api/123/test3'), 11)
  assert.is(regex('b').prefixLength('ab'), -1)
  assert.is(regex('^').prefixLength('ab'), 0)
})

test('replaceAll behaves as in Go', () => {
  const cases: [pattern: string, text: string, replacement: string, expected: string][] = [
    ['^/api/(.*)', '/api/x/y', '/$1', '/x/y'],
    ['^/whoami/(.*)', '/whoami/and/whoami', '/who-am-i/$1', '/who-am-i/and/whoami'],
    ['/whoami', '/whoami/and/whoami', '/who-am-i', '/who-am-i/and/who-am-i'],
    ['^(?i)/downloads/([^/]+)/([^/]+)$', '/downloads/src/source.go', '/downloads/$1-$2', '/downloads/src-source.go'],
    ['^/v(\\d)/(.*)', '/v2/x', `/$${'{1}'}x/$2`, '/2x/x'],
    // `$1x` names the group "1x", which does not exist.
    ['^/v(\\d)/(.*)', '/v2/x', '/$1x/$2', '//x'],
    ['(?P<year>\\d{4})-(?P<month>\\d\\d)', '2024-05', '$month/$year', '05/2024'],
    ['a', 'aaa', '$$', '$$$'],
    ['a', 'a', '$', '$'],
    ['a', 'a', '${', '${'],
    ['a', 'a', '$9-$-', '-$-'],
    ['(b)?c', 'c', '[$1]', '[]'],
    // Empty matches, except those that touch the previous match.
    ['a*', 'baac', 'x', 'xbxcx'],
    ['', 'ab', '-', '-a-b-'],
  ]
  for (const [pattern, text, replacement, expected] of cases) {
    assert.is(regex(pattern).replaceAll(text, parseReplacement(replacement)), expected, `${pattern} ${replacement}`)
  }
})

test('refuses malformed and too large patterns with a message', () => {
  for (const [pattern, message] of [
    ['(', /missing closing/],
    ['(?!x)a', /Perl syntax/],
    ['a{1001}', /repeat/],
    ['a'.repeat(1_025), /at most 1024 characters \(this one has 1025\)/],
    ['(?:[a-z]{1,900}){2}', /at most 2000 instructions|repeat/],
  ] as const) {
    const result = compileRegex(pattern)
    assert.not.ok(result.ok, pattern.slice(0, 40))
    if (!result.ok) assert.match(result.message, message)
  }
})

test('a pattern with catastrophic backtracking takes no time', () => {
  for (const pattern of ['^(a+)+$', '(x+x+)+y', '^(([a-z])+.)+[A-Z]([a-z])+$']) {
    assert.not.ok(regex(pattern).test(`${'a'.repeat(20_000)}!`), pattern)
  }
})

test('an input above the limit matches nothing', () => {
  const long = 'a'.repeat(MAX_INPUT_LENGTH + 1)
  assert.not.ok(regex('a').test(long))
  assert.is(regex('a').prefixLength(long), -1)
  assert.is(regex('a').replaceAll(long, ['b']), long)
})

test('the same pattern is compiled once', () => {
  assert.is(regex('^once$'), regex('^once$'))
})

test('quoteRegex escapes special characters', () => {
  const text = '/a.b*c+d?(e)[f]{g}|^$\\'
  assert.ok(regex(`^${quoteRegex(text)}$`).test(text))
  assert.not.ok(regex(`^${quoteRegex('a.b')}$`).test('axb'))
})

test.run()
