// Normal forms of paths: a rule sees the path that the server will use.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { normalizePath } from '../../../../src/proxy/message/path-normalization.ts'

const same = [
  '/',
  '/a/b',
  '/a%2Fb',
  '/a%2fb/',
  '//admin',
  '/.well-known/acme',
  '/a/.b',
  '/a..b',
  '/...',
  '/%zz',
  '/%',
  '/%4',
  '/a%20b',
  '*',
]
for (const path of same) test(`${path} passes as received`, () => assert.is(normalizePath(path), path))

const decoded: [string, string][] = [
  ['/%61dmin', '/admin'],
  ['/a%2Db%5f%7E', '/a-b_~'],
  ['/%61%2f%62', '/a%2fb'],
  ['/%zz%61', '/%zza'],
  ['/%2ewell-known', '/.well-known'],
]
for (const [path, normal] of decoded) test(`${path} is ${normal}`, () => assert.is(normalizePath(path), normal))

const refused = [
  '/..',
  '/.',
  '/a/../b',
  '/a/./b',
  '/a/%2e%2e/b',
  '/a/.%2E',
  '/a%2f..%2fb',
  '/a/..\\b',
  '/a%5c..%5cb',
  '/..;/b',
  '/%2e',
  '/a/%00',
]
for (const path of refused) {
  test(`${path} is refused`, () => {
    const result = normalizePath(path)
    assert.type(result, 'object')
  })
}

test.run()
