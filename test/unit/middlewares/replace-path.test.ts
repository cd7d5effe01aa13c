import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { replacePath } from '../../../src/middlewares/replace-path.ts'
import { request } from '../rules/fake-request.ts'

test('replaces the path and sends the old one', () => {
  for (const [to, path] of [
    ['/serverless-path', '/serverless-path'],
    ['x', '/x'],
    ['', '/'],
    ['/a b?c', '/a%20b%3Fc'],
  ] as const) {
    const x = request({ target: '/old?q' })
    replacePath(to)(x)
    assert.is(x.path, path)
    assert.is(x.query, 'q')
    assert.is(x.set.get('X-Replaced-Path'), '/old')
  }
})

test('OPTIONS * is unchanged', () => {
  const x = request({ target: '*' })
  replacePath('/x')(x)
  assert.is(x.path, '*')
  assert.is(x.set.size, 0)
})

test.run()
