import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { mergeConfigs, snapshotOf } from '../../../src/config/merge.ts'
import type { Snapshot } from '../../../src/config/model.ts'
import { LIMITS, parseSnapshot } from '../../../src/config/schema.ts'
import { config, router, service } from './fixtures.ts'

const whole = config(['a'], {
  routers: {
    a: router('a', {
      matcher: {
        kind: 'and',
        of: [
          {
            kind: 'or',
            of: [
              { kind: 'host', hosts: ['a'] },
              { kind: 'hostRegexp', patterns: ['^a'] },
            ],
          },
          { kind: 'not', of: { kind: 'path', paths: ['/x'] } },
          { kind: 'pathPrefix', prefixes: ['/'] },
          { kind: 'pathRegexp', patterns: ['.'] },
          { kind: 'method', methods: ['GET'] },
          { kind: 'header', name: 'x', value: 'y' },
          { kind: 'headerRegexp', name: 'x', pattern: 'y' },
          { kind: 'query', name: 'q', value: null },
          { kind: 'queryRegexp', name: 'q', pattern: '.' },
        ],
      },
      middlewares: ['m'],
    }),
  },
  services: {
    a: service('a', {
      sticky: { name: '_a', secure: true, httpOnly: false, sameSite: 'lax' },
      healthCheck: {
        path: '/h?x=1',
        port: null,
        scheme: null,
        hostname: null,
        intervalMs: 1_000,
        timeoutMs: 500,
        headers: { A: 'b c' },
      },
      maxConn: { amount: 10, by: 'request.header.X' },
    }),
  },
  middlewares: { m: { kind: 'replacePathRegex', pattern: '^/(.*)', replacement: '/$1' } },
  errors: [{ severity: 'warning', provider: 'swarm', source: 'a', key: 'k', value: 'v', message: 'm' }],
})

function snapshot(): Snapshot {
  return JSON.parse(JSON.stringify(snapshotOf(mergeConfigs([whole]), { term: 1, leader: '', sequence: 2 })))
}

test('a valid snapshot is returned unchanged', () => {
  const result = parseSnapshot(snapshot())
  assert.ok(result.ok, result.ok ? '' : result.message)
  if (result.ok) assert.equal(result.snapshot, snapshot())
})

test('unknown keys are dropped', () => {
  const result = parseSnapshot({ ...snapshot(), extra: 1 })
  assert.ok(result.ok && !('extra' in result.snapshot))
})

/** Replaces one value deep inside. */
function bent(path: string, value: unknown): unknown {
  const copy = snapshot() as unknown as Record<string, unknown>
  const keys = path.split('.')
  let at: Record<string, unknown> = copy
  for (const key of keys.slice(0, -1)) at = at[key] as Record<string, unknown>
  at[keys.at(-1)!] = value
  return copy
}

test('an error names the path of the invalid value', () => {
  const cases: [path: string, value: unknown][] = [
    ['hash', 'x'],
    ['revision.term', -1],
    ['revision.sequence', 1.5],
    ['routers.a.name', 'b'],
    ['routers.a.rule', 'x'.repeat(LIMITS.ruleBytes + 1)],
    ['routers.a.matcher.kind', 'nope'],
    ['routers.a.priority', '1'],
    ['routers.a.passHostHeader', 1],
    ['services.a.balancer', 'random'],
    ['services.a.servers.0.port', 0],
    ['services.a.servers.0.host', 'a b'],
    ['services.a.servers.0.host', 'a\r\nb'],
    ['services.a.servers.0.scheme', 'ftp'],
    ['services.a.servers.0.weight', -1],
    ['services.a.sticky.name', 'a=b'],
    ['services.a.healthCheck.path', 'h'],
    ['services.a.healthCheck.path', '/h x'],
    ['services.a.healthCheck.intervalMs', 0],
    ['services.a.healthCheck.headers', { 'a b': 'c' }],
    ['services.a.healthCheck.headers', { a: 'b\r\nc: d' }],
    ['services.a.maxConn.amount', 0],
    ['middlewares.m.kind', 'a b'],
    ['routers.a.features', ['a b']],
    ['services.a.features', [1]],
    ['errors', 'none'],
  ]
  for (const [path, value] of cases) {
    const result = parseSnapshot(bent(path, value))
    assert.not.ok(result.ok, `${path} ${JSON.stringify(value)}`.slice(0, 100))
    if (!result.ok) assert.ok(result.message.includes(path.split('.')[0]!), result.message)
  }
})

test('other values are refused', () => {
  for (const value of [null, undefined, 1, 'x', [], {}, new Date()]) assert.not.ok(parseSnapshot(value).ok)
})

test('a snapshot nested too deeply is refused', () => {
  let matcher: unknown = { kind: 'host', hosts: ['a'] }
  for (let i = 0; i < 100_000; i++) matcher = { kind: 'not', of: matcher }
  const result = parseSnapshot(bent('routers.a.matcher', matcher))
  assert.not.ok(result.ok)
})

test('a long description of a middleware does not refuse the snapshot', () => {
  const result = parseSnapshot(bent('middlewares.m.replacement', 'x'.repeat(200_000)))
  assert.ok(result.ok, result.ok ? '' : result.message)
})

test('too many of anything is refused', () => {
  const servers = Array.from({ length: LIMITS.serversPerService + 1 }, (_, i) => ({
    ...snapshot().services.a!.servers[0]!,
    id: `s${i}`,
  }))
  assert.not.ok(parseSnapshot(bent('services.a.servers', servers)).ok)
  assert.not.ok(
    parseSnapshot(bent('routers.a.matcher', { kind: 'host', hosts: Array.from({ length: LIMITS.matcherParts + 1 }, () => 'a') }))
      .ok,
  )
})

test('the name __proto__ is refused', () => {
  const copy = JSON.parse(JSON.stringify(snapshot()).replace('"services":{', '"services":{"__proto__":{"name":"__proto__"},'))
  const result = parseSnapshot(copy)
  assert.ok(!result.ok || !Object.hasOwn(result.snapshot.services, '__proto__'))
})

test.run()
