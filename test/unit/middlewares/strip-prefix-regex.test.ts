import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { request } from '../rules/fake-request.ts'
import { apply } from './apply.ts'

const PATTERNS = ['^/a/api/', '^/b/(?:[^/]+)/', '^/c/(?:[^/]+)/(?:[0-9]+)/']

test('removes the match at the start of the path', () => {
  const cases: [target: string, path: string, header: string | undefined][] = [
    ['/a/test', '/a/test', undefined],
    ['/a/api/test', '/test', '/a/api/'],
    ['/b/api/', '/', '/b/api/'],
    ['/b/api2/test2', '/test2', '/b/api2/'],
    ['/c/api/123/', '/', '/c/api/123/'],
    ['/c/api/abc/test4', '/c/api/abc/test4', undefined],
    ['/a/api/a%2Fb', '/a%2Fb', '/a/api/'],
    ['/x/b/api/', '/x/b/api/', undefined],
    ['*', '*', undefined],
  ]
  for (const [target, path, header] of cases) {
    const x = request({ target })
    apply({ kind: 'stripPrefixRegex', patterns: PATTERNS }, x)
    assert.is(x.path, path, target)
    assert.is(x.set.get('X-Forwarded-Prefix'), header)
  }
})

test('an invalid pattern beside a valid one: the middleware does not compile', () => {
  assert.is.not(apply({ kind: 'stripPrefixRegex', patterns: ['(', '^/b'] }, request({ target: '/b' })), '')
})

test.run()
