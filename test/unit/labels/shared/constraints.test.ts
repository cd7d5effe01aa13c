import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { globMatches, meetsConstraints, parseConstraint } from '../../../../src/labels/shared/constraints.ts'

test('reads both forms and nothing else', () => {
  assert.equal(parseConstraint('tag==us-*'), { mustMatch: true, glob: 'us-*' })
  assert.equal(parseConstraint(' tag != internal '), { mustMatch: false, glob: 'internal' })
  for (const text of ['', 'tag', 'tag=x', 'tag==', 'label==x', '==x']) assert.is(parseConstraint(text), null, text)
})

test('all must hold', () => {
  const both = [
    { mustMatch: true, glob: 'a*' },
    { mustMatch: false, glob: '*z' },
  ]
  assert.ok(meetsConstraints(['ab', 'x'], both))
  assert.not.ok(meetsConstraints(['ab', 'xz'], both))
  assert.not.ok(meetsConstraints(['b'], both))
  assert.ok(meetsConstraints([], []))
  assert.ok(meetsConstraints(['anything'], []))
})

test('globs', () => {
  for (const [glob, text, matches] of [
    ['', '', true],
    ['a', 'a', true],
    ['a', 'ab', false],
    ['*', '', true],
    ['*', 'anything', true],
    ['a*', 'a', true],
    ['a*', 'ba', false],
    ['*a', 'ba', true],
    ['a*b', 'ab', true],
    ['a*a', 'a', false],
    ['a*b*c', 'axxbyyc', true],
    ['a*b*c', 'axxcyyb', false],
    ['a**c', 'abc', true],
    ['*b*', 'abc', true],
    ['*ab*ab*', 'ab', false],
    ['a?c', 'abc', false],
  ] as const) {
    assert.is(globMatches(glob, text), matches, `${glob} on ${text}`)
  }
})

test('an adversarial glob takes no time', () => {
  assert.not.ok(globMatches(`${'*a'.repeat(5_000)}b`, 'a'.repeat(100_000)))
})

test.run()
