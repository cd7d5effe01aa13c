import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { addPrefix } from '../../../src/middlewares/add-prefix.ts'
import { request } from '../rules/fake-request.ts'

test('adds the prefix to the path', () => {
  for (const [prefix, target, path] of [
    ['/products', '/x', '/products/x'],
    ['/products', '/', '/products/'],
    ['/p/', '/x', '/p//x'],
    ['p', '/x', '/p/x'],
    ['/p', '*', '*'],
  ] as const) {
    const x = request({ target })
    addPrefix(prefix)(x)
    assert.is(x.path, path)
  }
})

test('a prefix cannot end the request line', () => {
  const x = request({ target: '/x' })
  addPrefix('/p HTTP/1.1\r\nX: y')(x)
  assert.is(x.path, '/p%20HTTP/1.1%0D%0AX:%20y/x')
})

test.run()
