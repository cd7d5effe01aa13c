import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Router } from '../../../src/config/model.ts'
import { compileRoutes } from '../../../src/proxy/routing/route-table.ts'
import { parseRule } from '../../../src/rules/traefik-v1.ts'
import { slashLocation, slashRedirectMatcher } from '../../../src/rules/trailing-slash.ts'
import { request } from './fake-request.ts'

function router(name: string, rule: string): Router {
  const parsed = parseRule(rule)
  if (!parsed.ok) throw new Error(`${rule}: ${parsed.message}`)
  const { matcher, priority } = parsed
  const rest = { entryPoints: [], rule, service: name, middlewares: [], passHostHeader: true, provider: 'test', source: name }
  return { name, matcher, priority, ...rest }
}

/** Name of the router that serves a request, with `/` behind it where it redirects; null for none. */
function find(rules: readonly string[], target: string, keep = false): string | null {
  const routers = rules.map((rule, i) => router(String.fromCharCode(97 + i), rule))
  return compileRoutes(routers, r => r.name, keep ? null : name => `${name}/`).match(request({ target, host: 'h' }))
}

test('only Path, PathStrip and PathStripRegex redirect a differing trailing slash', () => {
  const cases: [rules: string[], target: string, found: string | null, kept?: string | null][] = [
    [['Path:/x'], '/x', 'a'],
    [['Path:/x'], '/x/', 'a/', null],
    [['Path:/x'], '/x?q=/', 'a'],
    [['Path:/x/'], '/x', 'a/', null],
    [['Path:/x/'], '/x/', 'a'],
    [['Path:/x'], '/x//', null],
    [['Path:/x'], '/xy', null],
    [['Path:/'], '/', 'a'],
    [['Path:/,/x'], '/x/', 'a/', null],
    [['Path:/x,/x/'], '/x/', 'a'],
    [['PathStrip:/x'], '/x/', 'a/', null],
    [['PathStripRegex:/{v:[a-z]+}'], '/x/', 'a/', null],
    [['PathStripRegex:/{v:[a-z]+}/'], '/x', 'a/', null],
    [['Path:/a,/{v:[0-9]+}'], '/7/', 'a/', null],
    [['Path:/a,/{v:[0-9]+}'], '/a/', 'a/', null],
    // What the pattern itself takes is no other path.
    [['Path:/{v:.*}'], '/x/', 'a'],
    [['PathPrefix:/x/'], '/x', null],
    [['PathPrefixStrip:/x/'], '/x', null],
    [['PathPrefixStripRegex:/{v:[a-z]+}/'], '/x', null],
    // Every other part of the rule must hold.
    [['Host:h;Path:/x'], '/x/', 'a/', null],
    [['Host:other;Path:/x'], '/x/', null],
    [['Path:/x;Method:POST'], '/x/', null],
    [['Path:/x;Query:q=1'], '/x/', null],
    [['Path:/x;Query:q=1'], '/x/?q=1', 'a/', null],
    // In the order of routers, whether it redirects or not.
    [['Host:h;Path:/x', 'PathPrefix:/'], '/x/', 'a/', 'b'],
    [['Path:/x', 'PathPrefix:/x/'], '/x/', 'b'],
    [['Path:/x', 'Path:/x/'], '/x/', 'b'],
    [['Path:/x', 'Path:/x/'], '/x', 'b/', 'a'],
  ]
  for (const [rules, target, found, kept = found] of cases) {
    assert.is(find(rules, target), found, `${rules} on ${target}`)
    assert.is(find(rules, target, true), kept, `${rules} on ${target}, kept`)
  }
})

test('a rule without an exact path has no second matcher', () => {
  for (const rule of ['Host:h', 'PathPrefix:/x', 'Host:h;PathPrefixStripRegex:/{v}']) {
    assert.is(slashRedirectMatcher(router('a', rule).matcher), null, rule)
  }
})

test('the location: the other form with its query, never another host', () => {
  const cases: [path: string, query: string | null, location: string][] = [
    ['/x/', null, '/x'],
    ['/x', null, '/x/'],
    ['/x/', 'a=/&b', '/x?a=/&b'],
    ['/x/', '', '/x?'],
    ['/%41/', null, '/%41'],
    ['//evil.test', null, '/.//evil.test/'],
    ['//evil.test/', null, '/.//evil.test'],
    ['/\\evil.test/', 'q', '/./\\evil.test?q'],
    ['//', null, '/'],
  ]
  for (const [path, query, location] of cases) {
    assert.is(slashLocation(path, query), location, path)
    assert.is(new URL(location, 'http://edge.test/a').host, 'edge.test')
  }
})

test.run()
