import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Service } from '../../../../src/config/model.ts'
import { SKEIN_LABELS } from '../../../../src/labels/shared/skein-names.ts'
import { BACKEND_KEYS } from '../../../../src/labels/traefik-v1/file-keys.ts'
import { readTraefikV1 } from '../../../../src/labels/traefik-v1/reader.ts'
import { brief, json, oneOf, SERVERS, told, toml } from '../shared/read-files.ts'
import { found, OPTIONS } from '../shared/services.ts'

test('every setting of a backend: its key, and a wrong value reported there', () => {
  const base = { healthCheck: { path: '/h' }, maxConn: { amount: 5 } }
  const learns = { skein: { sticky: { learn: 'ip' } } }
  const breaks = { circuitBreaker: { expression: 'NetworkErrorRatio() > 0.5' } }
  const never = new Set(['healthCheck.path', 'loadBalancer.stickiness.cookieName'])
  for (const key of Object.values(BACKEND_KEYS)) {
    if (never.has(key)) continue
    const loadBalancer = key.includes('stickiness') ? { stickiness: {} } : {}
    const config = oneOf(nested(key.split('.'), '\u0001 wrong', { ...base, ...learns, ...breaks, loadBalancer }))
    assert.ok(brief(config.errors).includes(`error backends.app.${key}=\u0001 wrong`), `${key}: ${brief(config.errors)}`)
    assert.ok(config.routers.web, key)
  }
  for (const label of SKEIN_LABELS) assert.ok(Object.hasOwn(BACKEND_KEYS, label), label)
})

/** `into` with a value at a path of keys. */
function nested([first = '', ...rest]: string[], value: unknown, into: Readonly<Record<string, unknown>>): object {
  const below = (into[first] ?? {}) as Record<string, unknown>
  return { ...into, [first]: rest.length === 0 ? value : nested(rest, value, typeof below === 'object' ? below : {}) }
}

test('stickiness: a table turns it on, even an empty one', () => {
  const name = readTraefikV1(
    [found('x', { 'traefik.backend': 'app', 'traefik.backend.loadbalancer.stickiness': 'true' })],
    OPTIONS,
  )
  for (const stickiness of [{}, { secure: false }, null, true, 'true']) {
    const { services, errors } = oneOf({ loadBalancer: { stickiness } })
    assert.equal(services.app?.sticky, name.services.app?.sticky, JSON.stringify(stickiness))
    assert.equal(errors, [])
  }
  for (const loadBalancer of [{}, null, { stickiness: false }, { sticky: false }]) {
    assert.is(oneOf({ loadBalancer }).services.app?.sticky, null, JSON.stringify(loadBalancer))
  }
  assert.is(oneOf({ loadBalancer: { sticky: true } }).services.app?.sticky?.name, '_TRAEFIK_BACKEND')
  assert.is(oneOf({ loadBalancer: { stickiness: { cookieName: 'c' } } }).services.app?.sticky?.name, 'c')
})

test('keys are compared without case; keys that differ only in case are one table', () => {
  const config = toml(`
    [Backends.app.SERVERS.one]
      URL = "http://10.0.0.1"
    [backends.app.LOADBALANCER]
      METHOD = "drr"
    [backends.app.healthCheck]
      path = "/h"
    [backends.app.healthcheck]
      interval = "7s"
    [frontends.web]
      BackEnd = "app"
      ROUTES.one.RULE = "Host:a.test"
  `)
  assert.equal(brief(config.errors), ['error backends.app='])
  const merged = toml(`
    [backends.app]
      servers.one.url = "http://10.0.0.1"
      [backends.app.healthCheck]
        path = "/h"
        Path = "/other"
      [backends.app.healthcheck]
        interval = "7s"
    [frontends.web]
      backend = "app"
      routes.one.rule = "Host:a.test"
  `)
  assert.equal(merged.services.app?.healthCheck?.intervalMs, 7_000)
  assert.equal(merged.services.app?.healthCheck?.path, '/h')
  assert.equal(told(merged), [
    'warning backends.app.healthCheck.Path: expected it once: backends.app.healthCheck.path sets it already; ignored',
  ])
})

test('unsupported guards leave out their frontend only', () => {
  const routes = { r: { rule: 'Host:a.test' } }
  for (const guard of [
    { auth: { basic: { users: ['a:b'] } } },
    { Auth: { headerField: 'X' } },
    { basicAuth: ['a:b'] },
    { BASICAUTH: 'a:b' },
    { whiteList: { sourceRange: ['10.0.0.0/8'] } },
    { whitelistSourceRange: ['10.0.0.0/8'] },
    { [`whitelist${'x'.repeat(2_000)}`]: ['10.0.0.0/8'] },
  ]) {
    const config = json({
      backends: { app: { servers: SERVERS } },
      frontends: { web: { backend: 'app', routes, ...guard }, open: { backend: 'app', routes: { r: { rule: 'Host:b.test' } } } },
    })
    assert.equal(Object.keys(config.routers), ['open'])
    assert.is(config.services.app?.servers.length, 1)
    assert.is(config.errors.length, 1)
    assert.match(config.errors[0]?.key ?? '', /^frontends\.web\."?(auth|basicauth|whitelist)/i)
    assert.match(config.errors[0]?.message ?? '', /not served unguarded/)
  }
  for (const nothing of [{ basicAuth: [] }, { whitelistSourceRange: [] }, { auth: null }]) {
    const config = oneOf({}, nothing)
    assert.ok(config.routers.web)
    assert.equal(config.errors, [])
  }
})

test('unsupported settings are reported once and ignored', () => {
  const later = { headers: { customRequestHeaders: { A: 'b' } }, errors: {}, ratelimit: {}, redirect: {}, passTLSCert: true }
  const { routers, errors } = oneOf({ buffering: { a: 1 }, responseForwarding: {} }, { ...later, passTLSClientCert: {} })
  assert.ok(routers.web)
  assert.equal(brief(errors).sort(), [
    'warning backends.app.buffering=',
    'warning backends.app.responseForwarding=',
    'warning frontends.web.errors=',
    'warning frontends.web.headers=',
    'warning frontends.web.passTLSCert=',
    'warning frontends.web.passTLSClientCert=',
    'warning frontends.web.ratelimit=',
    'warning frontends.web.redirect=',
  ])
})

test('unknown keys are reported with a suggestion', () => {
  const config = oneOf(
    {
      loadBalancr: {},
      swarm: true,
      loadBalancer: { metod: 'drr', swarm: true, stickiness: { cookie: 'x' } },
      skein: { stiky: {}, sticky: { lern: 'ip' } },
      circuitBreaker: {},
    },
    { rule: 'Host:x', backends: 'app' },
  )
  assert.equal(told(config), [
    'warning backends.app.loadBalancr: expected loadBalancer; ignored',
    'warning backends.app.swarm: expected one of loadBalancer, healthCheck, maxConn, circuitBreaker, skein, servers; ignored',
    'warning backends.app.loadBalancer.metod: expected method; ignored',
    'warning backends.app.loadBalancer.swarm: expected one of method, sticky, stickiness; ignored',
    'warning backends.app.loadBalancer.stickiness.cookie: expected one of cookieName, secure, httpOnly, sameSite; ignored',
    'warning backends.app.skein.stiky: expected sticky; ignored',
    'warning backends.app.skein.sticky.lern: expected learn; ignored',
    'warning frontends.web.rule: expected one of priority, entryPoints, passHostHeader, backend, routes; ignored',
    'warning frontends.web.backends: expected backend; ignored',
  ])
  assert.ok(config.routers.web)
})

test('values of the wrong kind', () => {
  const bad = oneOf({ loadBalancer: 'drr', healthCheck: { path: ['/'] }, maxConn: { amount: {} }, skein: [] })
  assert.ok(bad.routers.web)
  assert.equal(brief(bad.errors), [
    'error backends.app.loadBalancer=drr',
    'error backends.app.healthCheck.path=',
    'error backends.app.maxConn.amount=',
    'error backends.app.skein=',
  ])
  for (const wrong of [{ entryPoints: {} }, { entryPoints: [['web']] }, { priority: [] }, { passHostHeader: {} }]) {
    const config = oneOf({}, wrong)
    assert.equal(config.routers, {}, JSON.stringify(wrong))
    assert.equal(brief(config.errors), [`error frontends.web.${Object.keys(wrong)[0]}=`])
  }
  assert.equal(
    toml('backends = {}\nfrontends.web = 1979-05-27').errors[0]?.message,
    'expected a table with backend and routes, found a date; the frontend was left out',
  )
})

test('entry points', () => {
  assert.equal(oneOf({}, { entryPoints: ['web', 'admin'] }).routers.web?.entryPoints, ['web', 'admin'])
  assert.equal(oneOf({}, { entryPoints: 'web' }).routers.web?.entryPoints, ['web'])
  assert.equal(oneOf({}, { entryPoints: [] }).routers.web?.entryPoints, [])
  // Each replica resolves which of them exist.
  assert.equal(oneOf({}, { entryPoints: ['web', 'https'] }).routers.web?.entryPoints, ['web', 'https'])
  const some = oneOf({}, { entryPoints: ['web', 'x'.repeat(65)] })
  assert.equal(some.routers.web?.entryPoints, ['web'])
  assert.equal(brief(some.errors), [`error frontends.web.entryPoints=web,${'x'.repeat(65)}`])
  assert.equal(oneOf({}, { entryPoints: ['x'.repeat(65)] }).routers, {})
})

test('a missing companion setting is reported by its key in the file', () => {
  const messages = oneOf({ skein: { sticky: { ttl: '1h' }, breaker: { open: '1s' } }, maxConn: { extractorFunc: 'client.ip' } })
  assert.equal(told(messages), [
    'warning backends.app.skein.sticky.ttl: expected skein.sticky.learn with it; no session is learned',
    'warning backends.app.skein.breaker.open: expected circuitBreaker.expression with it; there is no circuit breaker',
    'warning backends.app.maxConn.extractorFunc: expected maxConn.amount with it; there is no limit',
  ])
})

test("the reference of Traefik 1.7's documentation", () => {
  const file = (more: string) => `
    [backends]
      [backends.backend1]
        [backends.backend1.servers]
          [backends.backend1.servers.server0]
            url = "http://10.10.10.1:80"
            weight = 1
          [backends.backend1.servers.server1]
            url = "http://10.10.10.2:80"
            weight = 2
        [backends.backend1.circuitBreaker]
          expression = "NetworkErrorRatio() > 0.5"
        [backends.backend1.responseForwarding]
          flushInterval = "10ms"
        [backends.backend1.loadBalancer]
          method = "drr"
          [backends.backend1.loadBalancer.stickiness]
            cookieName = "foobar"
            secure = true
            httpOnly = true
            sameSite = "foobar"
        [backends.backend1.maxConn]
          amount = 10
          extractorfunc = "request.host"
        [backends.backend1.healthCheck]
          path = "/health"
          port = 88
          interval = "30s"
          scheme = "http"
          hostname = "myhost.com"
          [backends.backend1.healthcheck.headers]
            My-Custom-Header = "foo"
            My-Header = "bar"
    [frontends]
      [frontends.frontend1]
        entryPoints = ["web", "admin"]
        backend = "backend1"
        passHostHeader = true
        priority = 42
        ${more}
        [frontends.frontend1.routes]
          [frontends.frontend1.routes.route0]
            rule = "Host:test.localhost"
          [frontends.frontend1.routes.Route1]
            rule = "Method:GET"
        [frontends.frontend1.redirect]
          entryPoint = "https"
  `
  const config = toml(file(''))
  assert.equal(brief(config.errors), [
    'warning backends.backend1.responseForwarding=',
    'warning frontends.frontend1.redirect=',
    'error backends.backend1.loadBalancer.stickiness.sameSite=foobar',
  ])
  assert.is(config.routers.frontend1?.rule, 'Method:GET;Host:test.localhost')
  assert.is(config.routers.frontend1?.priority, 42)
  const { servers, sticky, breaker, maxConn, healthCheck } = config.services.backend1 as Service
  assert.equal(
    servers.map(s => [s.id, s.weight]),
    [
      ['10.10.10.1:80', 1],
      ['10.10.10.2:80', 2],
    ],
  )
  assert.equal(sticky, { name: 'foobar', secure: true, httpOnly: true, sameSite: null })
  assert.is(breaker?.expression, 'NetworkErrorRatio() > 0.5')
  assert.equal(maxConn, { amount: 10, by: 'request.host' })
  assert.equal(healthCheck, {
    path: '/health',
    port: 88,
    scheme: 'http',
    hostname: 'myhost.com',
    intervalMs: 30_000,
    timeoutMs: 5_000,
    headers: { 'My-Custom-Header': 'foo', 'My-Header': 'bar' },
  })
  const guarded = toml(file('basicAuth = ["test:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/"]'))
  assert.equal(guarded.routers, {})
  assert.not.match(JSON.stringify(guarded), /apr1/)
})

test.run()
