import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { labelPath, withSlash } from '../../../src/middlewares/path.ts'

test('a path starts with one slash', () => {
  assert.is(withSlash(''), '/')
  assert.is(withSlash('a'), '/a')
  assert.is(withSlash('/a'), '/a')
  assert.is(labelPath('a b'), '/a%20b')
})

test.run()
