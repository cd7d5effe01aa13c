import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { brief, oneOf } from '../shared/read-files.ts'

test('all routes of a frontend must match, in the order of their names', () => {
  const { routers, middlewares, errors } = oneOf(
    {},
    {
      routes: {
        b: { rule: 'PathPrefix:/x/{id:[0-9]{1,3}};Method:GET' },
        a: { rule: ' Host:a.test ' },
        c: { rule: 'AddPrefix:/y' },
      },
    },
  )
  assert.equal(errors, [])
  assert.is(routers.web?.rule, 'Host:a.test;PathPrefix:/x/{id:[0-9]{1,3}};Method:GET;AddPrefix:/y')
  assert.equal(routers.web?.matcher, {
    kind: 'and',
    of: [
      { kind: 'host', hosts: ['a.test'] },
      { kind: 'pathRegexp', patterns: ['^/x/(?:[0-9]{1,3})'] },
      { kind: 'method', methods: ['GET'] },
    ],
  })
  assert.equal(Object.keys(middlewares), ['web.addPrefix'])
  // v1 adds up the lengths, without the separators.
  assert.is(
    routers.web?.priority,
    'Host:a.test'.length + 'PathPrefix:/x/{id:[0-9]{1,3}};Method:GET'.length + 'AddPrefix:/y'.length,
  )
})

test('a priority that is not positive is ignored', () => {
  for (const priority of [0, -5, null, '']) assert.is(oneOf({}, { priority }).routers.web?.priority, 11)
  assert.equal(brief(oneOf({}, { priority: 0 }).errors), [])
  assert.equal(brief(oneOf({}, { priority: -5 }).errors), ['warning frontends.web.priority=-5'])
  assert.is(oneOf({}, { priority: 9_999_999_999 }).routers.web?.priority, 9_999_999_999)
  const beyond = oneOf({}, { priority: '9007199254740992' })
  assert.equal([beyond.routers, brief(beyond.errors)], [{}, ['error frontends.web.priority=9007199254740992']])
  assert.is(oneOf({}, { priority: 7 }).routers.web?.priority, 7)
  assert.is(oneOf({}, { priority: '7' }).routers.web?.priority, 7)
  assert.equal(brief(oneOf({}, { priority: 1.5 }).errors), ['error frontends.web.priority=1.5'])
})

test('several routes: the wrong one is reported', () => {
  const { routers, errors } = oneOf({}, { routes: { a: { rule: 'Host:a.test' }, b: { rule: 'Pth:/x' } } })
  assert.equal(routers, {})
  assert.equal(brief(errors), ['error frontends.web.routes.b.rule=Pth:/x'])
  const odd = oneOf({}, { routes: { a: { rule: 'Headers:X,{' }, b: { rule: 'Headers:Y,}' } } })
  assert.equal(odd.routers, {})
  assert.equal(brief(odd.errors), ['error frontends.web.routes=Headers:X,{;Headers:Y,}'])
})

test('routes without a valid rule leave out the frontend', () => {
  const cases: [routes: unknown, errors: string[]][] = [
    [undefined, ['error frontends.web.routes=']],
    [null, ['error frontends.web.routes=']],
    [{}, ['error frontends.web.routes=']],
    ['Host:a', ['error frontends.web.routes=Host:a', 'error frontends.web.routes=']],
    [[{ rule: 'Host:a' }], ['error frontends.web.routes=', 'error frontends.web.routes=']],
    [{ r: 'Host:a' }, ['error frontends.web.routes.r=Host:a']],
    [{ r: {} }, ['error frontends.web.routes.r.rule=']],
    [{ r: { rule: '' } }, ['error frontends.web.routes.r.rule=']],
    [{ r: { rule: ['Host:a'] } }, ['error frontends.web.routes.r.rule=']],
    [
      { r: { rule: 'Host:a' }, s: { rul: 'Path:/x' } },
      ['warning frontends.web.routes.s.rul=Path:/x', 'error frontends.web.routes.s.rule='],
    ],
    [{ r: { rule: ';' } }, ['error frontends.web.routes.r.rule=;']],
    [{ r: { rule: 5 } }, ['error frontends.web.routes.r.rule=5']],
    [Object.fromEntries(Array.from({ length: 257 }, (_, n) => [n, { rule: 'Host:a' }])), ['error frontends.web.routes=257']],
  ]
  for (const [routes, errors] of cases) {
    const config = oneOf({}, { routes })
    assert.equal(config.routers, {}, JSON.stringify(routes))
    assert.equal(brief(config.errors), errors)
  }
  const long = oneOf({}, { routes: { a: { rule: `Path:/${'a'.repeat(20_000)}` }, b: { rule: 'Host:a' } } })
  assert.equal(
    long.errors.map(e => e.key),
    ['frontends.web.routes.a.rule'],
  )
  assert.equal(long.routers, {})
})

test.run()
