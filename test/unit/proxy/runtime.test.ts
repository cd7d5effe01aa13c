// Applying snapshots: unchanged objects are kept with their connections and history, removed ones are retired.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Middleware, Server, Service, Snapshot } from '../../../src/config/model.ts'
import { setCookie } from '../../../src/proxy/balancing/sticky-cookie.ts'
import type { RequestView } from '../../../src/proxy/message/request-view.ts'
import { Runtime } from '../../../src/proxy/runtime.ts'
import { WARM_UP_MS } from '../../../src/proxy/runtime-service.ts'
import { noTransport } from './no-transport.ts'

const server = (id: string, more: Partial<Server> = {}): Server => ({
  id,
  scheme: 'http',
  host: '10.0.0.1',
  port: 80,
  weight: 1,
  state: 'active',
  node: '',
  ...more,
})

function snapshot(services: Readonly<Record<string, readonly Server[]>>, more: Partial<Service> = {}): Snapshot {
  return {
    revision: { term: 0, leader: '', sequence: 1 },
    hash: '',
    middlewares: { add: { kind: 'addPrefix', prefix: '/x' } },
    errors: [],
    services: Object.fromEntries(
      Object.entries(services).map(([name, servers]) => [
        name,
        {
          name,
          servers,
          balancer: 'wrr',
          sticky: null,
          learn: null,
          breaker: null,
          outliers: { errors: 0 },
          healthCheck: null,
          maxConn: null,
          timeouts: { responseHeaderMs: null, stallMs: null },
          provider: 'p',
          source: 's',
          ...more,
        } satisfies Service,
      ]),
    ),
    routers: Object.fromEntries(
      Object.keys(services).map(name => [
        name,
        {
          name,
          entryPoints: [],
          rule: '',
          matcher: { kind: 'host', hosts: [name] },
          priority: 1,
          service: name,
          middlewares: ['add'],
          passHostHeader: true,
          provider: 'p',
          source: 's',
        },
      ]),
    ),
  }
}

const request = (host: string): RequestView => ({
  method: 'GET',
  host,
  path: '/',
  receivedPath: '/',
  wirePath: '',
  query: null,
  entryPoint: 'web',
  clientAddress: '',
  header: () => undefined,
  headers: () => [],
  setHeader: () => {},
})

const runtimeOf = () => {
  const compiled: Middleware[] = []
  const runtime = new Runtime(
    'key',
    {
      features: new Set(['known']),
      compile: middleware => {
        if (middleware.kind === 'newer') return 'no such kind'
        compiled.push(middleware)
        return { request: () => undefined }
      },
    },
    noTransport,
  )
  return { runtime, compiled }
}
const slots = new Map([['a', 1]])

test('nothing matches before the first snapshot', () => {
  assert.is(runtimeOf().runtime.routes.match(request('a')), null)
})

test('an unchanged server keeps its object; weight and state are updated', () => {
  const { runtime } = runtimeOf()
  runtime.apply(snapshot({ a: [server('1'), server('2')] }), slots)
  const service = runtime.services.get('a')!
  const [one, two] = service.servers
  one!.latencyMs = 5
  one!.ejectedUntilMs = 99
  runtime.apply(snapshot({ a: [server('2'), server('1', { weight: 7, state: 'draining' }), server('3')] }), slots)
  assert.is(runtime.services.get('a'), service)
  assert.equal(
    service.servers.map(s => s.id),
    ['2', '1', '3'],
  )
  assert.is(service.servers[0], two)
  assert.is(service.servers[1], one)
  assert.equal([one!.weight, one!.draining, one!.latencyMs, one!.ejectedUntilMs], [7, true, 5, 99])
  runtime.apply(snapshot({ a: [server('1')] }), slots)
  assert.is(one!.draining, false)
  assert.ok(two!.gone)
})

test('the same id at another address is another server', () => {
  const { runtime } = runtimeOf()
  runtime.apply(snapshot({ a: [server('1')] }), slots)
  const [old] = runtime.services.get('a')!.servers
  for (const more of [{ host: '10.0.0.2' }, { port: 81 }, { scheme: 'https' as const }]) {
    runtime.apply(snapshot({ a: [server('1', more)] }), slots)
    assert.is.not(runtime.services.get('a')!.servers[0], old)
  }
  assert.ok(old!.gone)
})

test('a removed service retires its servers and routes; requests keep theirs', () => {
  const { runtime } = runtimeOf()
  runtime.apply(snapshot({ a: [server('1')], b: [server('2')] }), slots)
  const route = runtime.routes.match(request('a'))!
  const [one] = route.service.servers
  runtime.apply(snapshot({ b: [server('2')] }), slots)
  assert.is(runtime.routes.match(request('a')), null)
  assert.ok(one!.gone)
  assert.is(route.service.name, 'a')
  runtime.apply(snapshot({ a: [server('1')] }), slots)
  assert.is.not(runtime.routes.match(request('a'))!.service, route.service)
})

test('routers of missing services are skipped', () => {
  const { runtime, compiled } = runtimeOf()
  const whole = snapshot({ a: [server('1')], b: [] })
  const { b: _b, ...services } = whole.services
  runtime.apply({ ...whole, services }, slots)
  assert.is(runtime.routes.match(request('b')), null)
  assert.is(runtime.routes.match(request('a'))!.chain?.all.length, 1)
  assert.is(compiled.length, 1)
})

test('a router with a missing or unknown middleware, or an unknown feature, is unavailable', () => {
  const { runtime } = runtimeOf()
  const whole = snapshot({ a: [server('1')] })
  const unavailable = (router: object, middlewares: Snapshot['middlewares'] = whole.middlewares): string => {
    runtime.apply({ ...whole, middlewares, routers: { a: { ...whole.routers.a!, ...router } } }, slots)
    return runtime.routes.match(request('a'))!.unavailable
  }
  assert.is(unavailable({}), '')
  assert.is(unavailable({ features: ['known'] }), '')
  assert.match(unavailable({ features: ['known', 'newer'] }), /no feature 'newer'/)
  assert.match(unavailable({ middlewares: ['add', 'toString'] }), /middleware 'toString' is missing/)
  assert.match(unavailable({}, { add: { kind: 'newer' } }), /middleware 'add': no such kind/)
})

test('a middleware is compiled once per router and again when its description changes', () => {
  const { runtime, compiled } = runtimeOf()
  const whole = snapshot({ a: [server('1')], b: [] })
  runtime.apply(whole, slots)
  assert.is(compiled.length, 2)
  const { chain } = runtime.routes.match(request('a'))!
  runtime.apply(structuredClone(whole), slots)
  assert.is(runtime.routes.match(request('a'))!.chain!.all[0], chain!.all[0])
  runtime.apply({ ...whole, middlewares: { add: { kind: 'addPrefix', prefix: '/y' } } }, slots)
  assert.is(compiled.length, 4)
})

test('health results reach the server; an unchanged limit is kept', () => {
  const { runtime } = runtimeOf()
  const limited = { maxConn: { amount: 1, by: 'client.ip' } }
  runtime.apply(snapshot({ a: [server('1')] }, limited), slots)
  const service = runtime.services.get('a')!
  runtime.setHealth('a', '1', false)
  runtime.setHealth('a', 'nobody', false)
  runtime.setHealth('nobody', '1', false)
  assert.is(service.servers[0]!.healthy, false)
  assert.ok(service.limit!.acquire('x'))
  runtime.apply(snapshot({ a: [server('1')] }, limited), slots)
  assert.is(service.servers[0]!.healthy, false, 'a snapshot does not heal')
  assert.not(service.limit!.acquire('x'))
  runtime.apply(snapshot({ a: [server('1')] }, { maxConn: { amount: 2, by: 'client.ip' } }), slots)
  assert.ok(service.limit!.acquire('x'))
  runtime.apply(snapshot({ a: [server('1')] }), slots)
  assert.is(service.limit, null)
})

test('services may be named like properties of objects', () => {
  const { runtime } = runtimeOf()
  runtime.apply(snapshot({ constructor: [server('1')], toString: [server('2')] }), new Map())
  assert.is(runtime.services.size, 2)
  runtime.apply(snapshot({}), new Map())
  assert.is(runtime.services.size, 0)
})

test('a joining server warms up; the first ones and a single one do not', () => {
  const { runtime } = runtimeOf()
  const ids = (nowMs: number) =>
    runtime.services
      .get('a')!
      .warmServers(nowMs)
      .map(one => one.id)
  runtime.apply(snapshot({ a: [server('1'), server('2')] }), slots)
  const now = performance.now()
  assert.equal(ids(now), ['1', '2'])
  runtime.apply(snapshot({ a: [server('1'), server('3')] }), slots)
  assert.equal(ids(now + 1), ['1'])
  assert.equal(ids(now + WARM_UP_MS - 100), ['1'])
  assert.equal(ids(performance.now() + WARM_UP_MS), ['1', '3'])
  runtime.apply(snapshot({ a: [server('3')] }), slots)
  assert.equal(ids(performance.now() + WARM_UP_MS), ['3'])
})

test('the sticky cookie of a server', () => {
  const { runtime } = runtimeOf()
  runtime.apply(snapshot({ a: [server('1')] }, { sticky: { name: 'c', secure: false, httpOnly: true, sameSite: null } }), slots)
  const service = runtime.services.get('a')!
  assert.match(setCookie(service.servers[0]!, '').value('Set-Cookie')!, /^c=[\w-]{22}; Path=\/; HttpOnly$/)
  assert.is(service.stickyNeedle, 'c=')
  runtime.apply(snapshot({ a: [server('1')] }, { sticky: { name: 'd', secure: true, httpOnly: false, sameSite: null } }), slots)
  assert.match(setCookie(service.servers[0]!, 'abcd').value('Set-Cookie')!, /^d=[\w-]{18}abcd; Path=\/; Secure$/)
  runtime.apply(snapshot({ a: [server('1')] }), slots)
  assert.is(service.stickyNeedle, '')
})

test.run()
