// Routers that this version must not serve: what is reported, and what the workers get.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { snapshotOf } from '../../../src/config/merge.ts'
import type { Middleware, Router } from '../../../src/config/model.ts'
import { RouteCheck } from '../../../src/control/route-check.ts'
import { MIDDLEWARES } from '../../../src/middlewares/registry.ts'
import { config, router, service } from '../config/fixtures.ts'

function check(more: Partial<Router>, middlewares: Readonly<Record<string, Middleware>> = {}, features?: readonly string[]) {
  const whole = config(['a', 'b'], {
    routers: { a: router('a', more), b: router('b') },
    services: { a: service('a', { features }), b: service('b') },
    middlewares,
  })
  return new RouteCheck(MIDDLEWARES).check(snapshotOf(whole, { term: 0, leader: '', sequence: 1 }))
}

test('what this version knows passes unchanged', () => {
  const { snapshot, errors } = check({ middlewares: ['m'] }, { m: { kind: 'addPrefix', prefix: '/x' } })
  assert.equal(errors, [])
  assert.equal(Object.keys(snapshot.middlewares), ['m'])
})

test('an unknown feature of a router or its service is reported with the router', () => {
  for (const { errors } of [check({ features: ['auth.1'] }), check({}, {}, ['auth.1'])]) {
    assert.is(errors.length, 1)
    assert.is(errors[0]!.severity, 'error')
    assert.is(errors[0]!.key, 'router a')
    assert.match(errors[0]!.message, /feature 'auth.1'; this replica answers 503/)
  }
})

test('an unknown, invalid or broken middleware is reported and kept from the workers', () => {
  const cases: [Middleware, RegExp][] = [
    [{ kind: 'auth', users: [] }, /no middleware 'auth'/],
    [{ kind: 'addPrefix', prefix: '/a\r\nb' }, /addPrefix\.prefix: .*visible ASCII/],
    [{ kind: 'replacePathRegex', pattern: '(', replacement: '/' }, /regular expression/],
  ]
  for (const [description, reason] of cases) {
    const { snapshot, errors } = check(
      { middlewares: ['good', 'bad'] },
      { good: { kind: 'replacePath', path: '/' }, bad: description },
    )
    assert.equal(Object.keys(snapshot.middlewares), ['good'])
    assert.is(errors.length, 1)
    assert.match(errors[0]!.message, reason)
  }
})

test('a description that is too long closes its router, although older versions accept it', () => {
  const prefixes = Array.from({ length: 1_024 }, (_, i) => `/${i}`.padEnd(200, 'x'))
  const { snapshot, errors } = check({ middlewares: ['m'] }, { m: { kind: 'stripPrefix', prefixes } })
  assert.equal(Object.keys(snapshot.middlewares), [])
  assert.is(errors.length, 1)
  assert.is(errors[0]!.key, 'router a')
  assert.match(errors[0]!.message, /at most 131072 characters.*answers 503/)
})

test('a middleware that no router uses is not reported', () => {
  assert.equal(check({}, { bad: { kind: 'auth' } }).errors, [])
})

test.run()
