import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { splitOutsideBraces } from '../../../src/rules/split.ts'

test('splits at separators outside braces', () => {
  assert.equal(splitOutsideBraces('a;b;c', ';'), ['a', 'b', 'c'])
  assert.equal(splitOutsideBraces('{id:[0-9]{1,3}},b', ','), ['{id:[0-9]{1,3}}', 'b'])
  assert.equal(splitOutsideBraces('a,,b', ','), ['a', '', 'b'])
  assert.equal(splitOutsideBraces('', ','), [''])
})

test('unbalanced braces protect nothing', () => {
  assert.equal(splitOutsideBraces('X,{;Host:a', ';'), ['X,{', 'Host:a'])
  assert.equal(splitOutsideBraces('}a,{b', ','), ['}a', '{b'])
})

test.run()
