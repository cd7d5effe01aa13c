import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { resolveEntryPoints, unknownEntryPoints } from '../../../src/config/entry-points.ts'
import type { Router, Snapshot } from '../../../src/config/model.ts'

function router(name: string, entryPoints: readonly string[], more: Partial<Router> = {}): Router {
  return {
    name,
    entryPoints,
    rule: 'Host:a.test',
    matcher: { kind: 'host', hosts: ['a.test'] },
    priority: 1,
    service: name,
    middlewares: [],
    passHostHeader: true,
    provider: 'swarm',
    source: name,
    ...more,
  }
}

function snapshot(...routers: readonly Router[]): Snapshot {
  const byName = Object.fromEntries(routers.map(one => [one.name, one]))
  const revision = { term: 1, leader: 'l', sequence: 1 }
  return { revision, hash: 'h', routers: byName, services: {}, middlewares: {}, errors: [] }
}

test('a router keeps the known entry points; without any it is removed', () => {
  const whole = snapshot(router('all', []), router('web', ['web']), router('both', ['web', 'http']), router('none', ['http']))
  const { snapshot: own, errors } = resolveEntryPoints(whole, ['alt', 'web'], 'traefik')
  assert.equal(
    Object.values(own.routers).map(({ name, entryPoints }) => [name, entryPoints]),
    [
      ['all', []],
      ['web', ['web']],
      ['both', ['web']],
    ],
  )
  assert.equal([own.revision, own.hash], [whole.revision, whole.hash])
  assert.equal(
    errors.map(({ severity, source, value, message }) => [severity, source, value, message]),
    [
      [
        'warning',
        'both',
        'web,http',
        'expected entry points among alt, web, which this replica has; it serves the router at web only',
      ],
      ['error', 'none', 'http', 'expected entry points among alt, web, which this replica has; it does not serve the router'],
    ],
  )
})

test('with known names only, the snapshot is unchanged', () => {
  const whole = snapshot(router('web', ['web']))
  assert.is(resolveEntryPoints(whole, ['web'], 'traefik').snapshot, whole)
})

test('the error names the label or key', () => {
  const keys = [
    router('shop_web', ['x']),
    router('shop_web-api', ['x'], { source: 'shop_web' }),
    router('front', ['x'], { provider: 'file', source: '/etc/services.toml' }),
  ].map(one => unknownEntryPoints([one], [], 'edge')[0])
  assert.equal(
    keys.map(error => error?.key),
    ['edge.frontend.entryPoints', 'edge.api.frontend.entryPoints', 'frontends.front.entryPoints'],
  )
  assert.match(keys[0]?.message ?? '', /among \(there are none\)/)
})

test('ten thousand routers with unknown names give a bounded list', () => {
  const many = Array.from({ length: 10_000 }, (_, i) => router(`r${i}`, ['x']))
  const errors = unknownEntryPoints(many, ['web'], 'traefik')
  assert.is(errors.length, 1_001)
  assert.match(errors.at(-1)?.message ?? '', /more routers/)
})

test.run()
