import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { canonicalJson, mergeConfigs, snapshotOf } from '../../../src/config/merge.ts'
import { config, router, service } from './fixtures.ts'

test('parts without conflicts are merged', () => {
  const merged = mergeConfigs([config(['b']), config(['a'])])
  assert.equal(Object.keys(merged.routers), ['a', 'b'])
  assert.equal(Object.keys(merged.services), ['a', 'b'])
  assert.equal(merged.errors, [])
})

test('of two entries with one name the first stays, and the other is reported', () => {
  const other = config(['a'], {
    routers: { a: router('a', { provider: 'file', source: 'x.yml', middlewares: ['m'] }) },
    services: { a: service('a', { provider: 'file', source: 'x.yml', balancer: 'drr' }) },
    middlewares: { m: { kind: 'addPrefix', prefix: '/b' } },
  })
  const merged = mergeConfigs([config(['a'], { middlewares: { m: { kind: 'addPrefix', prefix: '/a' } } }), other])
  assert.is(merged.services.a?.balancer, 'wrr')
  assert.equal(merged.middlewares.m, { kind: 'addPrefix', prefix: '/a' })
  assert.equal(
    merged.errors.map(e => [e.severity, e.provider, e.source, e.key]),
    [
      ['error', 'file', 'x.yml', 'service a'],
      ['error', 'file', 'x.yml', 'middleware m'],
      ['error', 'file', 'x.yml', 'router a'],
    ],
  )
  assert.match(merged.errors[0]?.message ?? '', /swarm \(a\) uses this name/)
})

test("a router never leads to another part's service of the same name", () => {
  const file = config([], {
    services: { shared: service('shared', { provider: 'file', source: 'x.yml' }), own: service('own', { provider: 'file' }) },
    routers: {
      web: router('web', { provider: 'file', source: 'x.yml', service: 'shared' }),
      ours: router('ours', { provider: 'file', source: 'x.yml', service: 'own' }),
    },
  })
  const merged = mergeConfigs([config(['shared']), file])
  assert.equal(Object.keys(merged.routers), ['ours', 'shared'])
  assert.is(merged.services.shared?.provider, 'swarm')
  assert.equal(
    merged.errors.map(e => [e.provider, e.source, e.key]),
    [
      ['file', 'x.yml', 'service shared'],
      ['file', 'x.yml', 'router web'],
    ],
  )
  assert.match(merged.errors[1]?.message ?? '', /swarm \(shared\) uses this name; the router is ignored/)
})

test('a hundred thousand errors of one part are merged', () => {
  const finding = { severity: 'warning', provider: 'file', source: 'x.yml', key: 'k', value: '', message: 'm' } as const
  assert.is(mergeConfigs([config(['a'], { errors: Array(200_000).fill(finding) })]).errors.length, 10_000)
})

test('a router without its service or middlewares is removed', () => {
  const merged = mergeConfigs([
    config(['a'], {
      routers: {
        a: router('a', { service: 'constructor' }),
        b: router('b', { service: 'a', middlewares: ['toString'] }),
        c: router('c', { service: 'a' }),
      },
    }),
  ])
  assert.equal(Object.keys(merged.routers), ['b', 'c'], 'b answers 503')
  assert.equal(
    merged.errors.map(e => e.key),
    ['router a', 'router b'],
  )
  assert.match(merged.errors[0]?.message ?? '', /service 'constructor'/)
  assert.match(merged.errors[1]?.message ?? '', /middleware 'toString'/)
})

test('the name __proto__ does not change a prototype', () => {
  const services = JSON.parse('{"__proto__": {"name": "__proto__", "servers": []}}')
  const merged = mergeConfigs([config([], { services })])
  assert.equal(Object.keys(merged.services), [])
  assert.is(({} as Record<string, unknown>).servers, undefined)
})

test('the hash covers the content, not its order or its revision', () => {
  const a = snapshotOf(mergeConfigs([config(['a', 'b'])]), { term: 0, leader: '', sequence: 1 })
  const b = snapshotOf(mergeConfigs([config(['b', 'a'])]), { term: 3, leader: '', sequence: 9 })
  assert.is(a.hash, b.hash)
  assert.match(a.hash, /^[0-9a-f]{64}$/)
  const c = snapshotOf(
    mergeConfigs([config(['a', 'b'], { services: { a: service('a'), b: service('b', { balancer: 'drr' }) } })]),
    a.revision,
  )
  assert.is.not(a.hash, c.hash)
})

test('canonicalJson sorts the keys of all objects', () => {
  assert.is(canonicalJson({ b: 1, a: [{ d: null, c: 'x' }], u: undefined }), '{"a":[{"c":"x","d":null}],"b":1}')
})

test.run()
