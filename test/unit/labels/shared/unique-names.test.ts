import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createNameAllocator, safeName } from '../../../../src/labels/shared/unique-names.ts'

test('unsafe characters are replaced', () => {
  for (const [text, name] of [
    ['shop_web', 'shop_web'],
    ['a b/c', 'a-b-c'],
    ['é', 'é'],
    ['', '-'],
    ['__proto__', '-proto-'],
    ['x'.repeat(300), 'x'.repeat(100)],
  ] as const) {
    assert.is(safeName(text), name)
  }
})

test('one owner, one name; two owners, two names', () => {
  const claim = createNameAllocator()
  assert.is(claim('a', 'one', 'q'), 'a')
  assert.is(claim('a', 'one', 'q'), 'a')
  assert.is(claim('a', 'two', 'q'), 'a@q')
  assert.is(claim('a', 'three', 'q'), 'a@q#2')
  assert.is(claim('a', 'two', 'q'), 'a@q')
})

test.run()
