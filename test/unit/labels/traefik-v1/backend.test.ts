import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ConfigError } from '../../../../src/config/model.ts'
import { LabelSet } from '../../../../src/labels/shared/label-set.ts'
import { reportFor } from '../../../../src/labels/shared/report.ts'
import { type BackendSettings, readBackend } from '../../../../src/labels/traefik-v1/backend.ts'

function read(values: Record<string, string>): { settings: BackendSettings; errors: ConfigError[] } {
  const errors: ConfigError[] = []
  const written = new Map(
    Object.entries(values).map(([name, value]) => [`backend.${name}`, { key: `traefik.backend.${name}`, value }]),
  )
  return { settings: readBackend(new LabelSet(written, 'traefik', reportFor('swarm', 'a', errors)), 'a'), errors }
}

test('defaults', () => {
  assert.equal(read({}), {
    settings: {
      balancer: 'wrr',
      sticky: null,
      learn: null,
      breaker: null,
      outliers: { errors: 5 },
      healthCheck: null,
      maxConn: null,
      timeouts: { responseHeaderMs: null, stallMs: null },
    },
    errors: [],
  })
})

test('stickiness', () => {
  assert.equal(read({ 'loadbalancer.sticky': 'true' }).settings.sticky, {
    name: '_TRAEFIK_BACKEND',
    secure: false,
    httpOnly: false,
    sameSite: null,
  })
  const generated = read({ 'loadbalancer.stickiness': 'true' }).settings.sticky
  assert.match(generated?.name ?? '', /^_[0-9a-f]{5}$/)
  assert.equal(
    read({
      'loadbalancer.stickiness': 'true',
      'loadbalancer.stickiness.cookieName': 'my cookie=1',
      'loadbalancer.stickiness.secure': 'true',
      'loadbalancer.stickiness.httpOnly': 'true',
      'loadbalancer.stickiness.sameSite': 'Lax',
    }),
    {
      settings: {
        balancer: 'wrr',
        sticky: { name: 'my_cookie_1', secure: true, httpOnly: true, sameSite: 'lax' },
        learn: null,
        breaker: null,
        outliers: { errors: 5 },
        healthCheck: null,
        maxConn: null,
        timeouts: { responseHeaderMs: null, stallMs: null },
      },
      errors: [],
    },
  )
  assert.is(read({ 'loadbalancer.stickiness.cookieName': 'x' }).settings.sticky, null)
  assert.is(
    read({ 'loadbalancer.stickiness': 'true', 'loadbalancer.stickiness.sameSite': 'none' }).errors[0]?.severity,
    'warning',
  )
  assert.is(read({ 'loadbalancer.stickiness': 'true', 'loadbalancer.stickiness.sameSite': 'odd' }).errors[0]?.severity, 'error')
})

test('health checks', () => {
  assert.equal(read({ 'healthcheck.path': '/health' }).settings.healthCheck, {
    path: '/health',
    port: null,
    scheme: null,
    hostname: null,
    intervalMs: 30_000,
    timeoutMs: 5_000,
    headers: {},
  })
  assert.equal(
    read({
      'healthcheck.path': 'health?full=1',
      'healthcheck.port': '8080',
      'healthcheck.scheme': 'https',
      'healthcheck.hostname': 'Foo.test:8080',
      'healthcheck.interval': '1s',
      'healthcheck.timeout': '500ms',
      'healthcheck.headers': 'Foo:bar||Goo:zar',
    }),
    {
      settings: {
        balancer: 'wrr',
        sticky: null,
        learn: null,
        breaker: null,
        outliers: { errors: 5 },
        healthCheck: {
          path: '/health?full=1',
          port: 8080,
          scheme: 'https',
          hostname: 'foo.test',
          intervalMs: 1_000,
          timeoutMs: 500,
          headers: { Foo: 'bar', Goo: 'zar' },
        },
        maxConn: null,
        timeouts: { responseHeaderMs: null, stallMs: null },
      },
      errors: [],
    },
  )
  // Without a path there is no check, as in v1.
  assert.is(read({ 'healthcheck.interval': '1s' }).settings.healthCheck, null)
  assert.equal(read({ 'healthcheck.path': '/', 'healthcheck.headers': 'A:1||b c:2||D:3' }).settings.healthCheck?.headers, {
    A: '1',
    D: '3',
  })
  assert.is(read({ 'healthcheck.path': '/', 'healthcheck.port': '0' }).settings.healthCheck?.port, null)
})

test('max connections', () => {
  assert.equal(read({ 'maxconn.amount': '10' }).settings.maxConn, { amount: 10, by: 'request.host' })
  assert.equal(read({ 'maxconn.amount': '10', 'maxconn.extractorfunc': 'client.ip' }).settings.maxConn, {
    amount: 10,
    by: 'client.ip',
  })
  assert.equal(
    read({ 'maxconn.amount': '10', 'maxconn.extractorfunc': 'request.header.X-Key' }).settings.maxConn?.by,
    'request.header.X-Key',
  )
  assert.equal(read({ 'maxconn.amount': '0' }), read({}))
  assert.is(read({ 'maxconn.extractorfunc': 'client.ip' }).errors[0]?.severity, 'warning')
})

test('a wrong value has its default, and is reported', () => {
  for (const [name, value, message] of [
    ['loadbalancer.method', 'random', /wrr, drr, p2c or rendezvous; wrr is used/],
    ['loadbalancer.stickiness', 'maybe', /true or false/],
    ['healthcheck.interval', '10', /a duration such as 10s.*30s is used/],
    ['healthcheck.interval', '-1s', /a duration/],
    ['healthcheck.timeout', '1ms', /from 100ms/],
    ['healthcheck.scheme', 'ftp', /http or https/],
    ['healthcheck.port', 'x', /a whole number/],
    ['healthcheck.hostname', 'a b', /a host name/],
    ['healthcheck.headers', 'x', /Name:value/],
    ['healthcheck.path', 'http://x/', /a path/],
    ['maxconn.amount', 'many', /there is no limit/],
    ['maxconn.extractorfunc', 'client.mood', /client.ip, request.host or/],
  ] as const) {
    const { errors } = read({ 'healthcheck.path': '/', 'maxconn.amount': '1', [name]: value })
    assert.is(errors.length, 1, name)
    assert.is(errors[0]?.key, `traefik.backend.${name}`)
    assert.match(errors[0]?.message ?? '', message)
  }
})

test("a fragment in a health check's path is dropped with a warning", () => {
  const cases: [written: string, path: string][] = [
    ['/#/login', '/'],
    ['#top', '/'],
    ['/app/#/x?y=1', '/app/'],
    ['/app?y=1#z', '/app?y=1'],
    ['health#', '/health'],
  ]
  for (const [written, path] of cases) {
    const { settings, errors } = read({ 'healthcheck.path': written })
    assert.is(settings.healthCheck?.path, path, written)
    assert.equal(
      errors.map(e => [e.severity, e.key, e.value]),
      [['warning', 'traefik.backend.healthcheck.path', written]],
    )
  }
})

test.run()
