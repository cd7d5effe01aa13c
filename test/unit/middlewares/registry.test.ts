import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import type { Middleware } from '../../../src/config/model.ts'
import { MIDDLEWARES } from '../../../src/middlewares/registry.ts'
import { request, seeded } from '../rules/fake-request.ts'
import { apply } from './apply.ts'

test('every kind edits the path', () => {
  const cases: [Middleware, string][] = [
    [{ kind: 'stripPrefix', prefixes: ['/a'] }, '/b'],
    [{ kind: 'stripPrefixRegex', patterns: ['^/.'] }, '/b'],
    [{ kind: 'addPrefix', prefix: '/x' }, '/x/a/b'],
    [{ kind: 'replacePath', path: '/x' }, '/x'],
    [{ kind: 'replacePathRegex', pattern: 'a', replacement: 'x' }, '/x/b'],
  ]
  for (const [middleware, path] of cases) {
    const x = request({ target: '/a/b' })
    apply(middleware, x)
    assert.is(x.path, path, middleware.kind)
  }
})

test('for any label and request, a path begins with a slash and stays on its line', () => {
  const random = seeded(9)
  const pieces = ['/', 'a', ' ', '\r\n', '..', '%2f', '?', '#', '$1', 'é', '\0', '(', ')', '.*', '^', '//']
  const text = () => Array.from({ length: Math.floor(random() * 5) }, () => pieces[Math.floor(random() * pieces.length)]).join('')
  for (let n = 0; n < 5_000; n++) {
    const middlewares: Middleware[] = [
      { kind: 'stripPrefix', prefixes: [text()] },
      { kind: 'stripPrefixRegex', patterns: [text()] },
      { kind: 'addPrefix', prefix: text() },
      { kind: 'replacePath', path: text() },
      { kind: 'replacePathRegex', pattern: text(), replacement: text() },
    ]
    const x = request({ target: `/${['', 'a', 'a/b', '/a', '..%2f'][Math.floor(random() * 5)]}` })
    const middleware = middlewares[Math.floor(random() * middlewares.length)]!
    apply(middleware, x)
    assert.match(x.path, /^\/[\x21-\x7e]*$/, JSON.stringify(middleware))
    for (const value of x.set.values()) assert.match(value, /^[\x21-\x7e]*$/, JSON.stringify(middleware))
  }
})

test('a description of an unknown kind, or that does not compile, has a reason', () => {
  assert.match(MIDDLEWARES.compile({ kind: 'newer' }) as string, /no middleware 'newer'/)
  assert.type(MIDDLEWARES.compile({ kind: 'replacePathRegex', pattern: '(', replacement: '' }), 'string')
  assert.type(MIDDLEWARES.compile({ kind: 'stripPrefixRegex', patterns: ['^/a', '('] }), 'string')
})

test('schemas refuse what does not fit into a request line', () => {
  const cases: Middleware[] = [
    { kind: 'replacePathRegex', pattern: '^/(.*)', replacement: '/\r\n' },
    { kind: 'addPrefix', prefix: '/a b' },
    { kind: 'addPrefix', prefix: 'a' },
    { kind: 'stripPrefix', prefixes: '/a' },
    { kind: 'replacePath' },
  ]
  for (const description of cases) {
    assert.not(MIDDLEWARES.find(description.kind)!.schema(z).safeParse(description).success, JSON.stringify(description))
  }
  assert.ok(MIDDLEWARES.find('addPrefix')!.schema(z).safeParse({ kind: 'addPrefix', prefix: '/a' }).success)
})

test.run()
