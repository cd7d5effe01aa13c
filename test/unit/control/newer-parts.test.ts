// What versions of Skein that lack a feature get of a configuration that needs it.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { DynamicConfig } from '../../../src/config/model.ts'
import { parseSnapshot } from '../../../src/config/schema.ts'
import { decodeBody, encodeBody } from '../../../src/control/body-codec.ts'
import { withFeatures } from '../../../src/control/route-check.ts'
import { defineMiddleware } from '../../../src/middlewares/middleware.ts'
import { MIDDLEWARES, MiddlewareRegistry } from '../../../src/middlewares/registry.ts'
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

const decoded = (text: string): DynamicConfig => {
  const body = decodeBody(text)
  if (typeof body === 'string') throw new Error(body)
  return body.snapshot
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
  const sent = JSON.parse(encodeBody(CONFIG, {}, LATER)).config
  // Version 0.1 validates the body as a whole and drops unknown fields.
  const { newerServices: _s, newerMiddlewares: _m, ...old } = sent
  const parsed = parseSnapshot({ ...old, revision: { term: 1, leader: '', sequence: 1 }, hash: '0'.repeat(64) })
  if (!parsed.ok) throw new Error(parsed.message)
  const { routers, services, middlewares } = parsed.snapshot
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
  sent.config.newerServices.c.balancer = 'fromTheFuture'
  const { routers, services } = decoded(JSON.stringify(sent))
  assert.ok(routers.a!.features!.includes('auth.1'))
  assert.equal(services[routers.a!.service]?.servers, [])
  assert.ok(services.c!.features!.includes('h2'))
  assert.equal(services.c!.servers, [])
  assert.equal(routers.b, CONFIG.routers.b)
})

test('a configuration without features gives the text that version 0.1 gives', () => {
  const plain = config(['a', 'b'])
  assert.equal(Object.keys(JSON.parse(encodeBody(plain, {})).config).sort(), ['errors', 'middlewares', 'routers', 'services'])
  assert.equal(JSON.parse(encodeBody(plain, {})).config.routers, plain.routers)
})

test.run()
