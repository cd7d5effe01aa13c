import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { request } from '../rules/fake-request.ts'
import { apply } from './apply.ts'

test('replaces every match, with groups', () => {
  for (const [pattern, replacement, target, path] of [
    ['^/whoami/(.*)', '/who-am-i/$1', '/whoami/and/whoami', '/who-am-i/and/whoami'],
    ['/whoami', '/who-am-i', '/whoami/and/whoami', '/who-am-i/and/who-am-i'],
    ['^(?i)/downloads/([^/]+)/([^/]+)$', '/downloads/$1-$2', '/downloads/src/source.go', '/downloads/src-source.go'],
    ['^/a/(.*)', '$1', '/a/b', '/b'],
    ['^/a(.*)', '$1', '/a', '/'],
    ['^/a/(.*)', '/b?x=$1 y', '/a/c', '/b%3Fx=c%20y'],
  ] as const) {
    const x = request({ target })
    apply({ kind: 'replacePathRegex', pattern, replacement }, x)
    assert.is(x.path, path, `${pattern} ${target}`)
    assert.is(x.set.get('X-Replaced-Path'), target)
  }
})

test('no match, or an invalid pattern: the path is unchanged', () => {
  for (const [pattern, target] of [
    ['^/a', '/b'],
    ['^(?err)/x', '/x'],
    ['.*', '*'],
  ] as const) {
    const x = request({ target })
    apply({ kind: 'replacePathRegex', pattern, replacement: '/new' }, x)
    assert.is(x.path, target)
    assert.is(x.set.size, 0)
  }
})

test.run()
