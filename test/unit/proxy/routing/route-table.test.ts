// The table must give the result of a linear scan, for thousands of random routers and requests.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Matcher, Router } from '../../../../src/config/model.ts'
import { compareRouters } from '../../../../src/config/router-order.ts'
import { compileRoutes } from '../../../../src/proxy/routing/route-table.ts'
import { compileMatcher } from '../../../../src/rules/matcher.ts'
import { type FakeFields, request, seeded } from '../../rules/fake-request.ts'

function router(name: string, matcher: Matcher, more: Partial<Router> = {}): Router {
  return {
    name,
    entryPoints: [],
    rule: '',
    matcher,
    priority: 1,
    service: name,
    middlewares: [],
    passHostHeader: true,
    provider: 'test',
    source: 'test',
    ...more,
  }
}

function naive(routers: readonly Router[], fields: FakeFields): string | null {
  const x = request(fields)
  for (const r of [...routers].sort(compareRouters)) {
    if (r.entryPoints.length > 0 && !r.entryPoints.includes(x.entryPoint)) continue
    if (compileMatcher(r.matcher)(x)) return r.name
  }
  return null
}

test('no routers: no match', () => {
  assert.is(compileRoutes([], r => r.name).match(request({})), null)
})

test('higher priority first, then name', () => {
  const any: Matcher = { kind: 'and', of: [] }
  const table = compileRoutes([router('b', any), router('a', any), router('low', any, { priority: 0 })], r => r.name)
  assert.is(table.match(request({})), 'a')
  const raised = compileRoutes([router('a', any), router('z', any, { priority: 2 })], r => r.name)
  assert.is(raised.match(request({})), 'z')
})

test('a router of any host with higher priority wins over those of the host', () => {
  const table = compileRoutes(
    [
      router('host', { kind: 'host', hosts: ['a'] }),
      router('path', { kind: 'pathPrefix', prefixes: ['/x'] }, { priority: 5 }),
      router('regexp', { kind: 'hostRegexp', patterns: ['^a$'] }, { priority: 3 }),
    ],
    r => r.name,
  )
  assert.is(table.match(request({ host: 'a', target: '/x' })), 'path')
  assert.is(table.match(request({ host: 'a', target: '/y' })), 'regexp')
  assert.is(table.match(request({ host: 'b', target: '/y' })), null)
})

test('prefixes are plain text', () => {
  const table = compileRoutes(
    ['/a', '/ab', '/abc/d', '/abx'].map(p => router(p, { kind: 'pathPrefix', prefixes: [p] }, { priority: p.length })),
    r => r.name,
  )
  for (const [target, name] of [
    ['/', null],
    ['/a', '/a'],
    ['/ab', '/ab'],
    ['/abc', '/ab'],
    ['/abc/', '/ab'],
    ['/abc/d', '/abc/d'],
    ['/abc/dx', '/abc/d'],
    ['/abxyz', '/abx'],
    ['/b', null],
    ['*', null],
  ] as const) {
    assert.is(table.match(request({ target })), name, target)
  }
})

test('routers match on their entry points only', () => {
  const any: Matcher = { kind: 'and', of: [] }
  const table = compileRoutes(
    [
      router('web', any, { entryPoints: ['web'], priority: 9 }),
      router('both', any, { entryPoints: ['web', 'admin'] }),
      router('all', any, { priority: 0 }),
    ],
    r => r.name,
  )
  assert.is(table.match(request({ entryPoint: 'web' })), 'web')
  assert.is(table.match(request({ entryPoint: 'admin' })), 'both')
  assert.is(table.match(request({ entryPoint: 'other' })), 'all')
})

test('a value is made once per router', () => {
  let made = 0
  compileRoutes(
    [router('a', { kind: 'host', hosts: ['a', 'b', 'c'] }), router('b', { kind: 'and', of: [] }, { entryPoints: ['x', 'y'] })],
    () => ++made,
  )
  assert.is(made, 2)
})

test('property names of objects are not routes', () => {
  const table = compileRoutes([router('a', { kind: 'host', hosts: ['a'] })], r => r.name)
  for (const host of ['__proto__', 'constructor', 'toString'])
    assert.is(table.match(request({ host, target: '/constructor' })), null)
})

test('equals a linear scan for random routers and requests', () => {
  const random = seeded(42)
  const pick = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)]!
  const some = <T>(of: readonly T[]): T[] => Array.from({ length: 1 + Math.floor(random() * 2) }, () => pick(of))
  const hosts = ['a', 'b', 'c.d', 'x.c.d']
  const paths = ['/', '/a', '/ab', '/abc', '/a/b', '/a/bc', '/b', '/a%2fb', '//a', '*']
  const leaf = (): Matcher => {
    switch (Math.floor(random() * 9)) {
      case 0:
      case 1:
      case 2:
        return { kind: 'host', hosts: some(hosts) }
      case 3:
        return { kind: 'path', paths: some(paths) }
      case 4:
      case 5:
        return { kind: 'pathPrefix', prefixes: some(paths.slice(0, 9)) }
      case 6:
        return { kind: 'hostRegexp', patterns: some(['^(?:[a-z]+)\\.c\\.d$', '(?i)^(?:[A-Z]+)\\.D$', '^[ab]$', '^a$|^b$', 'd$']) }
      case 7:
        return { kind: 'pathRegexp', patterns: some(['^/a/(?:[^/]+)$', '^/(?:a|b)', '^/ab?', '^/b$|c', 'b']) }
      default:
        return pick<Matcher>([
          { kind: 'method', methods: ['POST'] },
          { kind: 'header', name: 'x', value: '1' },
          { kind: 'query', name: 'q', value: null },
        ])
    }
  }
  const tree = (depth: number): Matcher => {
    const n = random()
    if (depth === 0 || n < 0.4) return leaf()
    const of = Array.from({ length: Math.floor(random() * 4) }, () => tree(depth - 1))
    return n < 0.8 ? { kind: 'and', of } : n < 0.93 ? { kind: 'or', of } : { kind: 'not', of: tree(depth - 1) }
  }
  let matched = 0
  for (let round = 0; round < 150; round++) {
    const count = Math.floor(random() * 25)
    const routers = Array.from({ length: count }, (_, i) =>
      router(`r${i}`, tree(2), {
        priority: Math.floor(random() * 4),
        entryPoints: pick<string[]>([[], [], ['web'], ['admin', 'web']]),
      }),
    )
    const table = compileRoutes(routers, r => r.name)
    for (let k = 0; k < 60; k++) {
      const fields: FakeFields = {
        host: pick([...hosts, 'none']),
        target: pick(paths) + pick(['', '', '/x', '?q=1']),
        method: pick(['GET', 'POST']),
        entryPoint: pick(['web', 'admin', 'other']),
        headers: pick<Record<string, string[]>>([{}, { x: ['1'] }]),
      }
      const expected = naive(routers, fields)
      if (expected !== null) matched++
      assert.is(table.match(request(fields)), expected, `${JSON.stringify(fields)} ${JSON.stringify(routers)}`)
    }
  }
  assert.ok(matched > 2_000, `only ${matched} requests matched`)
})

test('random sets of long prefixes equal a linear scan', () => {
  const random = seeded(3)
  const text = () => `/${Array.from({ length: Math.floor(random() * 9) }, () => 'ab/'[Math.floor(random() * 3)]).join('')}`
  for (let round = 0; round < 40; round++) {
    const routers = Array.from({ length: 60 }, (_, i) =>
      router(
        `r${i}`,
        {
          kind: 'and',
          of: [
            { kind: 'host', hosts: ['h'] },
            { kind: 'pathPrefix', prefixes: [text(), text()] },
          ],
        },
        { priority: Math.floor(random() * 50) },
      ),
    )
    const table = compileRoutes(routers, r => r.name)
    for (let k = 0; k < 100; k++) {
      const fields = { host: 'h', target: text() + text() }
      assert.is(table.match(request(fields)), naive(routers, fields), JSON.stringify(fields))
    }
  }
})

test.run()
