import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { stripPrefix } from '../../../src/middlewares/strip-prefix.ts'
import { request } from '../rules/fake-request.ts'

test('removes the first matching prefix and sends it', () => {
  const cases: [prefixes: string[], target: string, path: string, header: string | undefined][] = [
    [['/'], '/', '/', '/'],
    [['/stat'], '/stat', '/', '/stat'],
    [['/stat/'], '/stat/us', '/us', '/stat/'],
    [['/stat/'], '/status', '/status', undefined],
    [['/stat', '/stat/us'], '/stat/us', '/us', '/stat'],
    [['/mismatch', '/stat'], '/stat', '/', '/stat'],
    [['/stat'], '/status', '/us', '/stat'],
    [['/stat'], '/stat//x', '//x', '/stat'],
    [['/stat'], '/stat/../x', '/../x', '/stat'],
    [['/a'], '*', '*', undefined],
    [[], '/x', '/x', undefined],
  ]
  for (const [prefixes, target, path, header] of cases) {
    const x = request({ target })
    stripPrefix(prefixes)(x)
    assert.is(x.path, path, `${prefixes} ${target}`)
    assert.is(x.set.get('X-Forwarded-Prefix'), header)
  }
})

test('the query is unchanged', () => {
  const x = request({ target: '/a/b?c=/a' })
  stripPrefix(['/a'])(x)
  assert.is(x.path, '/b')
  assert.is(x.query, 'c=/a')
})

test.run()
