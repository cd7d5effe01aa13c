import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Matcher } from '../../../src/config/model.ts'
import { compileMatcher } from '../../../src/rules/matcher.ts'
import { type FakeFields, request } from './fake-request.ts'

const yes: Matcher = { kind: 'path', paths: ['/'] }
const no: Matcher = { kind: 'path', paths: ['/no'] }

test('every kind of matcher', () => {
  const cases: [matcher: Matcher, fields: FakeFields, expected: boolean][] = [
    [{ kind: 'and', of: [] }, {}, true],
    [{ kind: 'and', of: [yes] }, {}, true],
    [{ kind: 'and', of: [yes, no] }, {}, false],
    [{ kind: 'and', of: [yes, yes, yes] }, {}, true],
    [{ kind: 'and', of: [yes, yes, no] }, {}, false],
    [{ kind: 'or', of: [] }, {}, false],
    [{ kind: 'or', of: [no, yes] }, {}, true],
    [{ kind: 'or', of: [no, no, yes] }, {}, true],
    [{ kind: 'or', of: [no, no, no] }, {}, false],
    [{ kind: 'not', of: no }, {}, true],
    [{ kind: 'host', hosts: [] }, {}, false],
    [{ kind: 'host', hosts: ['a', 'b'] }, { host: 'b' }, true],
    [{ kind: 'hostRegexp', patterns: ['^x', '^a$'] }, { host: 'a' }, true],
    [{ kind: 'path', paths: ['/a', '/b'] }, { target: '/b?c' }, true],
    [{ kind: 'pathPrefix', prefixes: ['/a', '/b'] }, { target: '/bc' }, true],
    [{ kind: 'pathPrefix', prefixes: [] }, {}, false],
    [{ kind: 'pathRegexp', patterns: ['^/[0-9]$'] }, { target: '/1' }, true],
    [{ kind: 'method', methods: ['GET', 'PUT'] }, { method: 'PUT' }, true],
    [{ kind: 'header', name: 'x', value: '' }, { headers: { x: ['1'] } }, true],
    [{ kind: 'header', name: 'x', value: '' }, {}, false],
    [{ kind: 'headerRegexp', name: 'x', pattern: '^2' }, { headers: { x: ['1', '2'] } }, true],
    [{ kind: 'headerRegexp', name: 'x', pattern: '^2' }, {}, false],
    [{ kind: 'query', name: 'a', value: null }, { target: '/?a' }, true],
    [{ kind: 'query', name: 'a', value: '' }, { target: '/?a' }, true],
    [{ kind: 'query', name: 'a', value: '1' }, { target: '/?a=2' }, false],
    [{ kind: 'queryRegexp', name: 'a', pattern: '^2$' }, { target: '/?a=2' }, true],
    [{ kind: 'queryRegexp', name: 'a', pattern: '.*' }, { target: '/' }, false],
  ]
  for (const [matcher, fields, expected] of cases) {
    assert.is(compileMatcher(matcher)(request(fields)), expected, `${JSON.stringify(matcher)} on ${JSON.stringify(fields)}`)
  }
})

test('a pattern that does not compile matches nothing and does not throw', () => {
  for (const kind of ['hostRegexp', 'pathRegexp'] as const) {
    assert.not.ok(compileMatcher({ kind, patterns: ['('] })(request({})))
    assert.ok(compileMatcher({ kind, patterns: ['(', '.'] })(request({})))
  }
})

test.run()
