// What versions of Skein that lack a feature get of a configuration that needs it.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { mergeConfigs } from '../../../src/config/merge.ts'
import type { DynamicConfig, Matcher, Snapshot } from '../../../src/config/model.ts'
import { parseSnapshot } from '../../../src/config/schema.ts'
import { decodeBody, encodeBody } from '../../../src/control/body-codec.ts'
import { withFeatures } from '../../../src/control/route-check.ts'
import { SnapshotBuilder } from '../../../src/control/snapshot-builder.ts'
import { defineMiddleware } from '../../../src/middlewares/middleware.ts'
import { MIDDLEWARES, MiddlewareRegistry } from '../../../src/middlewares/registry.ts'
import { compileMatcher, type MatchedRequest } from '../../../src/rules/matcher.ts'
import { config, router, service } from '../config/fixtures.ts'

/** A later version: it has a middleware that this one does not know. */
const LATER = new MiddlewareRegistry([
  defineMiddleware<{ readonly kind: string }>({
    kind: 'auth',
    feature: 'auth.1',
    schema: z => z.looseObject({ kind: z.literal('auth') }),
    compile: () => ({}),
  }),
  MIDDLEWARES.find('addPrefix')!,
])

const CONFIG: DynamicConfig = withFeatures(
  config(['a', 'b', 'c'], {
    routers: {
      a: router('a', { middlewares: ['guard'], priority: Number.MAX_SAFE_INTEGER }),
      b: router('b', { middlewares: ['add'] }),
      c: router('c'),
    },
    services: { a: service('a'), b: service('b'), c: service('c', { features: ['h2'] }) },
    middlewares: { guard: { kind: 'auth', users: ['x'] }, add: { kind: 'addPrefix', prefix: '/x' } },
  }),
  LATER,
)

const decoded = (text: string): Snapshot => {
  const body = decodeBody(text)
  if (typeof body === 'string') throw new Error(body)
  return body.snapshot
}

/** As version 0.1 reads a body: it validates the body as a whole and drops unknown fields. */
const decodedByOld = (text: string): Snapshot => {
  const { newerServices: _s, newerMiddlewares: _m, ...old } = JSON.parse(text).config
  for (const one of Object.values<Record<string, unknown>>(old.routers)) delete one.features
  const parsed = parseSnapshot({ ...old, revision: { term: 1, leader: '', sequence: 1 }, hash: '0'.repeat(64) })
  if (!parsed.ok) throw new Error(parsed.message)
  return parsed.snapshot
}

const FUTURE = { kind: 'future', of: 'any' } as unknown as Matcher

const request = (host: string, path: string): MatchedRequest => ({
  host,
  path,
  method: 'OPTIONS',
  query: null,
  header: () => undefined,
  headers: () => [],
})

/** A guarded router for /admin and a broader one. */
const ADMIN = config([], {
  routers: {
    admin: router('admin', {
      features: ['x'],
      priority: 20,
      matcher: { kind: 'pathPrefix', prefixes: ['/admin'] },
      service: 'web',
    }),
    all: router('all', { matcher: { kind: 'pathPrefix', prefixes: ['/'] }, service: 'web' }),
  },
  services: { web: service('web') },
})

/** The configuration of a new leader that has the given one, and whose files are read, while no manager answers. */
const filledBy = (snapshot: Snapshot): DynamicConfig => {
  const builder = new SnapshotBuilder(['file', 'swarm'], snapshot)
  builder.put('file', config([]))
  builder.fillMissing()
  return builder.merged()!
}

const assertAdminRefused = ({ routers, services }: DynamicConfig): void => {
  assert.equal(Object.keys(routers), ['admin', 'all'])
  const stub = services[routers.admin!.service]!
  assert.equal([stub.servers, stub.outOfReach, stub.provider], [[], true, 'swarm'])
  assert.is(routers.all!.service, 'web')
}

test('a router gets the features of its middlewares', () => {
  assert.equal(CONFIG.routers.a?.features, ['auth.1'])
  assert.is(CONFIG.routers.b?.features, undefined)
})

test('a version with features gets everything as it is', () => {
  const { routers, services, middlewares } = decoded(encodeBody(CONFIG, {}, LATER))
  assert.equal(routers, CONFIG.routers)
  assert.equal(services, CONFIG.services)
  assert.equal(middlewares, CONFIG.middlewares)
})

test('version 0.1 gets a service without servers for routers that need a feature', () => {
  const { routers, services, middlewares } = decodedByOld(encodeBody(CONFIG, {}, LATER))
  for (const name of ['a', 'c']) {
    assert.equal(services[routers[name]!.service]?.servers, [])
    assert.is(services[routers[name]!.service]?.outOfReach, true)
    assert.equal(routers[name]!.middlewares, [])
  }
  assert.is(routers.a!.priority, 1_000_000_000)
  assert.is(routers.b!.service, 'b')
  assert.equal(Object.keys(middlewares), ['add'])
  assert.is(services.c, undefined)
})

test('an entry of a later version that cannot be parsed: its router keeps the stub, all others stay', () => {
  const text = encodeBody(CONFIG, {}, LATER)
  const sent = JSON.parse(text)
  sent.config.routers.a.newer.matcher = { kind: 'fromTheFuture' }
  sent.config.routers.a.newer.features.push('-notAName')
  sent.config.newerServices.c.balancer = 'fromTheFuture'
  const { routers, services } = decoded(JSON.stringify(sent))
  assert.ok(routers.a!.features!.includes('auth.1'))
  assert.equal(services[routers.a!.service]?.servers, [])
  assert.ok(services.c!.features!.includes('h2'))
  assert.equal(services.c!.servers, [])
  assert.equal(routers.b, CONFIG.routers.b)
})

test('an unknown kind of matcher: older versions get a broader stub and serve all other routers', () => {
  const matcher: Matcher = { kind: 'and', of: [{ kind: 'host', hosts: ['a.test'] }, FUTURE] }
  const routers = { a: router('a', { features: ['x'], matcher }), b: router('b') }
  const text = encodeBody(config(['a', 'b'], { routers }), {})
  for (const read of [decodedByOld(text), decoded(text)]) {
    assert.equal(read.services[read.routers.a!.service]?.servers, [])
    assert.equal(read.routers.b, router('b'))
    const matches = compileMatcher(read.routers.a!.matcher)
    assert.ok(matches(request('a.test', '/x')))
    assert.ok(matches(request('a.test', '*')), 'OPTIONS *')
    assert.not.ok(matches(request('b.test', '/x')))
  }
  assert.ok(decoded(text).routers.a!.features!.includes('x'))
})

test('the matcher of a stub never matches less than that of its router', () => {
  const host: Matcher = { kind: 'host', hosts: ['a.test'] }
  const every = { kind: 'and', of: [] }
  const cases: [matcher: unknown, sent: unknown][] = [
    [host, host],
    [
      { kind: 'not', of: host },
      { kind: 'not', of: host },
    ],
    [FUTURE, every],
    [{ kind: 'constructor' }, every],
    [{ ...host, except: ['b.test'] }, every],
    [{ kind: 'not', of: FUTURE }, every],
    [{ kind: 'not', of: { kind: 'not', of: FUTURE } }, every],
    [{ kind: 'not', of: { kind: 'or', of: [host, FUTURE] } }, every],
    [
      { kind: 'and', of: [host, { kind: 'or', of: [host, FUTURE] }] },
      { kind: 'and', of: [host, { kind: 'or', of: [host, every] }] },
    ],
  ]
  for (const [matcher, sent] of cases) {
    const routers = { a: router('a', { features: ['x'], matcher: matcher as Matcher }) }
    const body = JSON.parse(encodeBody(config(['a'], { routers }), {}))
    assert.equal(body.config.routers.a.matcher, sent, JSON.stringify(matcher))
    assert.equal(body.config.routers.a.newer.matcher, matcher)
  }
})

test('a leader of version 0.1 without a manager keeps the stubs, and later versions keep them too', () => {
  const filled = filledBy(decodedByOld(encodeBody(ADMIN, {})))
  assertAdminRefused(filled)
  // Version 0.1 sends a body without newer parts.
  assertAdminRefused(decoded(JSON.stringify({ config: filled })))
})

test('a leader without a manager keeps the stub of a router that it cannot read', () => {
  const sent = JSON.parse(encodeBody(ADMIN, {}))
  sent.config.routers.admin.newer.matcher = FUTURE
  const filled = filledBy(decoded(JSON.stringify(sent)))
  assertAdminRefused(filled)
  assertAdminRefused(decoded(encodeBody(filled, {})))
})

test('a leader without a manager keeps a router whose service it cannot read', () => {
  for (const provider of ['swarm', '__proto__', 7]) {
    const sent = JSON.parse(encodeBody({ ...ADMIN, services: { web: service('web', { features: ['h2'] }) } }, {}))
    Object.assign(sent.config.newerServices.web, { balancer: 'fromTheFuture', provider })
    const { routers, services } = filledBy(decoded(JSON.stringify(sent)))
    assert.equal(Object.keys(routers), ['admin', 'all'], String(provider))
    assert.equal([services.web!.servers, services.web!.provider], [[], 'swarm'])
  }
})

test('each provider has its own stub service, and no unused one stays', () => {
  const file = router('b', { features: ['x'], provider: 'file' })
  const text = encodeBody(config(['a', 'b'], { routers: { a: router('a', { features: ['x'] }), b: file } }), {})
  const old = decodedByOld(text)
  assert.equal(
    ['a', 'b'].map(name => old.services[old.routers[name]!.service]?.provider),
    ['swarm', 'file'],
  )
  assert.equal(Object.keys(decoded(text).services), ['a', 'b'])
})

test('a stub leaves with its file although other files are unread', () => {
  const builder = new SnapshotBuilder(['swarm'], decodedByOld(encodeBody(ADMIN, {})))
  builder.put('swarm', { ...config([]), readSources: ['admin'] })
  assert.equal(Object.keys(builder.merged()!.routers), ['all'])
})

test('version 0.1 does not serve a router without a middleware that is missing', () => {
  const merged = mergeConfigs([
    config(['a', 'b'], { routers: { a: router('a', { middlewares: ['toString'] }), b: router('b') } }),
  ])
  const text = encodeBody(merged, {})
  const { routers, services } = decodedByOld(text)
  assert.equal(services[routers.a!.service]?.servers, [])
  assert.equal(routers.a!.middlewares, [])
  assert.is(routers.b!.service, 'b')
  assert.equal(decoded(text).routers, merged.routers)
})

test('a configuration without features gives the text that version 0.1 gives', () => {
  const plain = config(['a', 'b'])
  assert.equal(Object.keys(JSON.parse(encodeBody(plain, {})).config).sort(), ['errors', 'middlewares', 'routers', 'services'])
  assert.equal(JSON.parse(encodeBody(plain, {})).config.routers, plain.routers)
})

test.run()
