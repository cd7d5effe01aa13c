import { parse as parseToml } from 'smol-toml'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parse as parseYaml } from 'yaml'
import type { ConfigError, DynamicConfig, Router, Service } from '../../../../src/config/model.ts'
import { readTraefikV1 } from '../../../../src/labels/traefik-v1/reader.ts'
import { brief, json, oneOf, readFiles, SERVERS, told, toml } from '../shared/read-files.ts'
import { at, found, OPTIONS, task } from '../shared/services.ts'

function same(text: string, labels: Record<string, string>): void {
  const file = toml(text)
  const swarm = readTraefikV1(
    [found('web', { 'traefik.backend': 'app', ...labels }, { instances: [task('t', { addresses: [at('n', '10.0.0.1')] })] })],
    OPTIONS,
  )
  assert.equal(plain(file), plain(swarm))
  assert.equal(
    file.errors.map(e => [e.severity, e.value, consequence(e)]),
    swarm.errors.map(e => [e.severity, e.value, consequence(e)]),
  )
}

function consequence(error: ConfigError): string {
  return error.message.slice(error.message.lastIndexOf(';'))
}

function plain({ routers, services, middlewares }: DynamicConfig): unknown {
  const origin = { provider: '', source: '' }
  return {
    routers: Object.values(routers).map((router): Router => ({ ...router, ...origin })),
    services: Object.values(services).map(
      (service): Service => ({
        ...service,
        ...origin,
        servers: service.servers.map(s => ({ ...s, id: '', node: '', owner: '' })),
      }),
    ),
    middlewares,
  }
}

test('a frontend is a router, a backend a service', () => {
  const config = toml(`
    [backends.app.servers.one]
    url = "http://10.0.0.1:8080"
    weight = 3
    [backends.app.servers.two]
    url = "https://App.test/"
    [frontends.web]
    backend = "app"
    passHostHeader = true
    [frontends.web.routes.r]
    rule = "Host:a.test;PathPrefixStrip:/x"
  `)
  assert.equal(config.errors, [])
  assert.equal(config.routers, {
    web: {
      name: 'web',
      entryPoints: [],
      rule: 'Host:a.test;PathPrefixStrip:/x',
      matcher: {
        kind: 'and',
        of: [
          { kind: 'host', hosts: ['a.test'] },
          { kind: 'pathPrefix', prefixes: ['/x'] },
        ],
      },
      priority: 30,
      service: 'app',
      middlewares: ['web.stripPrefix'],
      passHostHeader: true,
      provider: 'file',
      source: 'a.toml',
    },
  })
  assert.equal(config.middlewares, { 'web.stripPrefix': { kind: 'stripPrefix', prefixes: ['/x'] } })
  const node = ''
  assert.equal(config.services.app, {
    name: 'app',
    servers: [
      { id: '10.0.0.1:8080', scheme: 'http', host: '10.0.0.1', port: 8080, weight: 3, state: 'active', node },
      { id: 'https://app.test:443', scheme: 'https', host: 'app.test', port: 443, weight: 1, state: 'active', node },
    ],
    balancer: 'wrr',
    sticky: null,
    learn: null,
    breaker: null,
    outliers: { errors: 5 },
    healthCheck: null,
    maxConn: null,
    timeouts: { responseHeaderMs: null, stallMs: null },
    provider: 'file',
    source: 'a.toml',
  })
})

test('equivalent files and labels give the same configuration', () => {
  same(
    `
    [backends.app]
      [backends.app.servers.one]
        url = "http://10.0.0.1:8080"
        weight = 7
      [backends.app.circuitBreaker]
        expression = "NetworkErrorRatio() > 0.5"
      [backends.app.loadBalancer]
        method = "drr"
        [backends.app.loadBalancer.stickiness]
          cookieName = "session"
          secure = true
          httpOnly = true
          sameSite = "lax"
      [backends.app.maxConn]
        amount = 10
        extractorFunc = "client.ip"
      [backends.app.healthCheck]
        path = "/health"
        port = 88
        scheme = "https"
        hostname = "my.host"
        interval = "10s"
        timeout = "3s"
        [backends.app.healthcheck.headers]
          X-One = "foo: bar"
          X-Two = "b"
      [backends.app.skein.sticky]
        learn = "cookie:JSESSIONID"
        ttl = "30m"
        size = 1000
        drain = "keep"
      [backends.app.skein.breaker]
        expression = "ResponseCodeRatio(500, 600, 0, 600) > 0.25"
        minRequests = 5
        open = "1s"
        recovery = "2s"
      [backends.app.skein.outlier]
        errors = 3
    [frontends.web]
      backend = "app"
      entryPoints = ["web", "admin"]
      passHostHeader = true
      priority = 42
      [frontends.web.routes.r]
        rule = "Host:a.test;AddPrefix:/x"
    `,
    {
      'traefik.port': '8080',
      'traefik.weight': '7',
      'traefik.backend.circuitbreaker.expression': 'NetworkErrorRatio() > 0.5',
      'traefik.backend.loadbalancer.method': 'drr',
      'traefik.backend.loadbalancer.stickiness': 'true',
      'traefik.backend.loadbalancer.stickiness.cookieName': 'session',
      'traefik.backend.loadbalancer.stickiness.secure': 'true',
      'traefik.backend.loadbalancer.stickiness.httpOnly': 'true',
      'traefik.backend.loadbalancer.stickiness.sameSite': 'lax',
      'traefik.backend.maxconn.amount': '10',
      'traefik.backend.maxconn.extractorfunc': 'client.ip',
      'traefik.backend.healthcheck.path': '/health',
      'traefik.backend.healthcheck.port': '88',
      'traefik.backend.healthcheck.scheme': 'https',
      'traefik.backend.healthcheck.hostname': 'my.host',
      'traefik.backend.healthcheck.interval': '10s',
      'traefik.backend.healthcheck.timeout': '3s',
      'traefik.backend.healthcheck.headers': 'X-One:foo: bar||X-Two:b',
      'skein.sticky.learn': 'cookie:JSESSIONID',
      'skein.sticky.ttl': '30m',
      'skein.sticky.size': '1000',
      'skein.sticky.drain': 'keep',
      'skein.breaker.expression': 'ResponseCodeRatio(500, 600, 0, 600) > 0.25',
      'skein.breaker.minRequests': '5',
      'skein.breaker.open': '1s',
      'skein.breaker.recovery': '2s',
      'skein.outlier.errors': '3',
      'traefik.frontend.entryPoints': 'web,admin',
      'traefik.frontend.passHostHeader': 'true',
      'traefik.frontend.priority': '42',
      'traefik.frontend.rule': 'Host:a.test;AddPrefix:/x',
    },
  )
})

test('mistakes have the same consequence in files and in labels', () => {
  same(
    `
    [backends.app]
      servers.one = { url = "http://10.0.0.1", weight = -1 }
      circuitBreaker.expression = "LatencyAt() > 1"
      loadBalancer = { method = "random", sticky = "yes" }
      maxConn = { amount = 10, extractorFunc = "request.body" }
      healthCheck = { path = "/h", port = 70000, scheme = "ftp", hostname = "a b", interval = 10, timeout = "long" }
      skein.sticky = { learn = "body:x", ttl = "1ms", size = 0, drain = "both" }
      skein.outlier.errors = "many"
    [frontends.web]
      backend = "app"
      entryPoints = ["nowhere"]
      passHostHeader = "perhaps"
      priority = "high"
      routes.r.rule = "Hots:a.test"
    `,
    {
      'traefik.port': '80',
      'traefik.weight': '-1',
      'traefik.backend.circuitbreaker.expression': 'LatencyAt() > 1',
      'traefik.backend.loadbalancer.method': 'random',
      'traefik.backend.loadbalancer.sticky': 'yes',
      'traefik.backend.maxconn.amount': '10',
      'traefik.backend.maxconn.extractorfunc': 'request.body',
      'traefik.backend.healthcheck.path': '/h',
      'traefik.backend.healthcheck.port': '70000',
      'traefik.backend.healthcheck.scheme': 'ftp',
      'traefik.backend.healthcheck.hostname': 'a b',
      'traefik.backend.healthcheck.interval': '10',
      'traefik.backend.healthcheck.timeout': 'long',
      'skein.sticky.learn': 'body:x',
      'skein.sticky.ttl': '1ms',
      'skein.sticky.size': '0',
      'skein.sticky.drain': 'both',
      'skein.outlier.errors': 'many',
      'traefik.frontend.entryPoints': 'nowhere',
      'traefik.frontend.passHostHeader': 'perhaps',
      'traefik.frontend.priority': 'high',
      'traefik.frontend.rule': 'Hots:a.test',
    },
  )
})

test('the Host is passed on only where a frontend asks for it, as in Traefik', () => {
  for (const [written, passes] of [
    [undefined, false],
    [false, false],
    [null, false],
    [true, true],
    ['true', true],
  ] as const) {
    assert.is(oneOf({}, written === undefined ? {} : { passHostHeader: written }).routers.web?.passHostHeader, passes)
  }
})

test('frontends share a backend, whose mistakes are reported once', () => {
  const { routers, services, errors } = json({
    backends: {
      app: { servers: { a: { url: 'http://10.0.0.1' }, b: { url: 'http://10.0.0.2' } }, loadBalancer: { method: 'x' } },
    },
    frontends: {
      one: { backend: 'app', routes: { r: { rule: 'Host:a.test' } } },
      two: { backend: 'app', routes: { r: { rule: 'Hst:b.test' } } },
      three: { backend: 'app', routes: { r: { rule: 'Host:c.test' } } },
    },
  })
  assert.equal(Object.keys(routers), ['one', 'three'])
  assert.equal(
    Object.values(routers).map(r => r.service),
    ['app', 'app'],
  )
  assert.is(services.app?.servers.length, 2)
  assert.equal(brief(errors), ['error backends.app.loadBalancer.method=x', 'error frontends.two.routes.r.rule=Hst:b.test'])
})

test('two frontends with one rule', () => {
  const { errors } = json({
    backends: { a: { servers: SERVERS }, b: { servers: SERVERS } },
    frontends: {
      one: { backend: 'a', routes: { r: { rule: 'Host:a.test' } } },
      two: { backend: 'b', routes: { r: { rule: 'Host:a.test' } } },
    },
  })
  assert.equal(
    errors.map(e => `${e.key}: ${e.message}`),
    ['frontends.two.routes.r.rule: expected a unique rule: frontend one has it too and comes first'],
  )
})

test('unused backends and unknown backend names', () => {
  const config = json({
    backends: { shop: { servers: SERVERS }, 'my.app': { servers: SERVERS } },
    frontends: {
      a: { backend: 'shpo', routes: { r: { rule: 'Host:a' } } },
      b: { backend: 'nothing-like-it', routes: { r: { rule: 'Host:b' } } },
      c: { routes: { r: { rule: 'Host:c' } } },
      d: { backend: '', routes: { r: { rule: 'Host:d' } } },
      e: { backend: ['shop'], routes: {} },
      f: 'shop',
    },
  })
  assert.equal(config.routers, {})
  assert.equal(config.services, {})
  assert.equal(told(config), [
    'error frontends.a.backend: expected a backend that one of the files defines; the nearest is shop; the frontend was left out',
    'error frontends.b.backend: expected a backend that one of the files defines; the frontend was left out',
    'error frontends.c.backend: expected the name of a backend; the frontend was left out',
    'error frontends.d.backend: expected the name of a backend; the frontend was left out',
    'error frontends.e.routes: expected a route such as routes.one.rule = "Host:shop.test"; the frontend was left out',
    'error frontends.e.backend: expected the name of a backend; the frontend was left out',
    'error frontends.f: expected a table with backend and routes, found a single value; the frontend was left out',
    'warning backends.shop: expected a frontend that names it; it is not used',
    'warning backends."my.app": expected a frontend that names it; it is not used',
  ])
})

test('several files give one configuration; the first definition is used', () => {
  const config = readFiles(
    { path: 'a.toml', content: parseToml('[frontends.web]\nbackend = "app"\nroutes.r.rule = "Host:a.test"') },
    {
      path: 'b.yml',
      content: parseYaml(
        'backends:\n  app:\n    loadBalancer:\n      stickiness:\n    servers:\n      one:\n        url: http://10.0.0.1',
      ),
    },
    { path: 'c.json', content: { backends: { app: { servers: {} } }, frontends: { web: { backend: 'app' } } } },
    { path: 'empty.toml', content: {} },
    { path: 'empty.yml', content: null },
  )
  assert.is(config.routers.web?.source, 'a.toml')
  assert.is(config.services.app?.source, 'b.yml')
  assert.ok(config.services.app?.sticky)
  assert.is(config.services.app?.servers.length, 1)
  assert.equal(
    config.errors.map(e => `${e.severity} ${e.source} ${e.key}: ${e.message}`),
    [
      'error c.json backends.app: expected a unique name: b.yml defines backends.app, which is used; left out',
      'error c.json frontends.web: expected a unique name: a.toml defines frontends.web, which is used; left out',
    ],
  )
})

test.run()
