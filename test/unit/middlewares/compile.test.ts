import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Middleware } from '../../../src/config/model.ts'
import { compileMiddleware } from '../../../src/middlewares/compile.ts'
import { request, seeded } from '../rules/fake-request.ts'

test('every kind', () => {
  const cases: [Middleware, string][] = [
    [{ kind: 'stripPrefix', prefixes: ['/a'] }, '/b'],
    [{ kind: 'stripPrefixRegex', patterns: ['^/.'] }, '/b'],
    [{ kind: 'addPrefix', prefix: '/x' }, '/x/a/b'],
    [{ kind: 'replacePath', path: '/x' }, '/x'],
    [{ kind: 'replacePathRegex', pattern: 'a', replacement: 'x' }, '/x/b'],
  ]
  for (const [middleware, path] of cases) {
    const x = request({ target: '/a/b' })
    compileMiddleware(middleware)(x)
    assert.is(x.path, path, middleware.kind)
  }
})

test('whatever labels and requests say, a path begins with a slash and stays on its line', () => {
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
    compileMiddleware(middleware)(x)
    assert.match(x.path, /^\/[\x21-\x7e]*$/, JSON.stringify(middleware))
    for (const value of x.set.values()) assert.match(value, /^[\x21-\x7e]*$/, JSON.stringify(middleware))
  }
})

test.run()
