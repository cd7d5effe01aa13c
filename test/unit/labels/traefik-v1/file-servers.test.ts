import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { brief, json, oneOf } from '../shared/read-files.ts'

test('URLs of servers', () => {
  const good: [url: string, id: string, host: string, port: number][] = [
    ['http://10.0.0.1', '10.0.0.1:80', '10.0.0.1', 80],
    ['http://10.0.0.1:/', '10.0.0.1:80', '10.0.0.1', 80],
    ['HTTPS://Shop.Test:8443/', 'https://shop.test:8443', 'shop.test', 8443],
    [' http://my_service:1 ', 'my_service:1', 'my_service', 1],
    ['https://[2001:DB8:0:0::1]', 'https://[2001:db8::1]:443', '2001:db8::1', 443],
    ['http://[::1]:65535', '[::1]:65535', '::1', 65_535],
    ['http://bücher.test', 'xn--bcher-kva.test:80', 'xn--bcher-kva.test', 80],
  ]
  for (const [url, id, host, port] of good) {
    const { services, errors } = oneOf({ servers: { one: { url } } })
    assert.equal(errors, [], url)
    const [server] = services.app?.servers ?? []
    assert.equal([server?.id, server?.host, server?.port], [id, host, port])
  }
  const bad: [url: unknown, says: RegExp][] = [
    ['', /expected a URL such as/],
    [null, /expected a URL such as/],
    [80, /expected a URL such as/],
    [['http://a'], /expected a URL such as/],
    ['10.0.0.1:80', /expected a URL such as/],
    ['//10.0.0.1', /expected a URL such as/],
    ['http:/10.0.0.1', /expected a URL such as/],
    ['http://', /found host ""/],
    ['http://:80', /found host ""/],
    ['h2c://10.0.0.1', /h2c is not supported yet/],
    ['ftp://10.0.0.1', /found scheme "ftp"/],
    ['http://10.0.0.1/x', /without a path/],
    ['http://10.0.0.1//', /without a path/],
    ['http://10.0.0.1?x', /without a query/],
    ['http://10.0.0.1/#x', /without a query/],
    ['http://10.0.0.1:0', /with a port from 1 to 65535/],
    ['http://10.0.0.1:65536', /with a port from 1 to 65535/],
    ['http://10.0.0.1:http', /expected a URL such as/],
    ['http://10.0.0.256', /found host "10.0.0.256"/],
    ['http://1', /found host "1"/],
    ['http://::1', /needs brackets/],
    ['http://2001:db8::1:80', /needs brackets/],
    ['http://[::1', /expected a URL such as|brackets/],
    ['http://[::g]', /found host "\[::g\]"/],
    ['http://[10.0.0.1]', /found host/],
    ['http://[fe80::1%25eth0]', /found host/],
    ['http://a b', /found host "a b"/],
    ['http://a\r\nb', /found host/],
    ['http://*.test', /found host/],
    ['http://{{ .Host }}', /found host/],
    [`http://${'a'.repeat(300)}`, /found host/],
    [`http://${'a'.repeat(3_000)}`, /at most 2048 characters/],
  ]
  for (const [url, says] of bad) {
    const { services, errors, routers } = oneOf({ servers: { one: { url }, two: { url: 'http://10.0.0.2' } } })
    assert.equal(
      services.app?.servers.map(s => s.id),
      ['10.0.0.2:80'],
      String(url),
    )
    assert.is(errors.length, 1)
    assert.is(errors[0]?.key, 'backends.app.servers.one.url')
    assert.match(errors[0]?.message ?? '', says)
    assert.ok(routers.web)
  }
})

test('the password in a URL is not reported', () => {
  for (const url of ['http://user:s3cret@10.0.0.1', 'http://user:s3/cret@x@10.0.0.1/']) {
    const { errors } = oneOf({ servers: { one: { url } } })
    assert.is(errors.length, 1)
    assert.not.match(JSON.stringify(errors), /s3|cret/)
  }
  assert.not.match(JSON.stringify(oneOf({ servers: { one: 'http://u:s3cret@a' } }).errors), /s3cret/)
})

test('weight 0 on all servers: each gets 1, with a warning', () => {
  const url = (n: number) => `http://10.0.0.${n}`
  const zero = oneOf({ servers: { a: { url: url(1), weight: 0 }, b: { url: url(2), weight: 0 } } })
  assert.equal(
    zero.services.app?.servers.map(s => s.weight),
    [1, 1],
  )
  assert.equal(brief(zero.errors), ['warning backends.app.servers=0'])
  const beside = oneOf({ servers: { a: { url: url(1), weight: 0 }, b: { url: url(2) } } })
  assert.equal(
    beside.services.app?.servers.map(s => s.weight),
    [0, 1],
  )
  assert.equal(brief(beside.errors), [])
})

test('servers that are not tables, weights, duplicates', () => {
  const { services, errors } = oneOf({
    servers: {
      a: { url: 'http://10.0.0.1', weight: 0 },
      b: { url: 'http://10.0.0.1:80/' },
      c: { url: 'http://10.0.0.2', weight: '5', colour: 'red' },
      d: { url: 'http://10.0.0.3', weight: 1_000_001 },
      e: { url: 'http://10.0.0.4', weight: 1.5 },
      f: 'http://10.0.0.5',
      g: null,
      h: { url: 'https://10.0.0.1:80' },
    },
  })
  assert.equal(
    services.app?.servers.map(s => [s.id, s.weight]),
    [
      ['10.0.0.1:80', 0],
      ['10.0.0.2:80', 5],
      ['10.0.0.3:80', 1],
      ['10.0.0.4:80', 1],
      ['https://10.0.0.1:80', 1],
    ],
  )
  assert.equal(brief(errors), [
    'warning backends.app.servers.b.url=http://10.0.0.1:80/',
    'warning backends.app.servers.c.colour=red',
    'error backends.app.servers.d.weight=1000001',
    'error backends.app.servers.e.weight=1.5',
    'error backends.app.servers.f=http://10.0.0.5',
    'error backends.app.servers.g=',
  ])
})

test('a backend without servers is reported, and its frontend stays', () => {
  for (const servers of [undefined, null, {}]) {
    const { routers, services, errors } = oneOf({ servers })
    assert.equal(brief(errors), ['warning backends.app.servers='])
    assert.ok(routers.web)
    assert.equal(services.app?.servers, [])
  }
  for (const servers of ['http://a', [{ url: 'http://a' }]]) assert.is(oneOf({ servers }).errors[0]?.severity, 'error')
  assert.equal(
    json({ backends: { app: null }, frontends: { web: { backend: 'app', routes: { r: { rule: 'Host:a' } } } } }).errors.length,
    1,
  )
})

test('headers of a health check', () => {
  const check = (headers: unknown) => oneOf({ healthCheck: { path: '/', headers } })
  assert.equal(check({ 'X-One': 'a:b,c', Host: 'x', N: 5 }).services.app?.healthCheck?.headers, {
    'X-One': 'a:b,c',
    Host: 'x',
    N: '5',
  })
  const { services, errors } = check(
    JSON.parse('{"bad name":"x","a:b":"x","X":"a||B:c","Y":"a\\nb","Z":[],"__proto__":"p","ok":"1"}'),
  )
  assert.equal(services.app?.healthCheck?.headers, { ok: '1' })
  assert.equal(
    errors.map(e => e.key),
    ['"bad name"', '"a:b"', 'X', 'Y', 'Z', '__proto__'].map(name => `backends.app.healthCheck.headers.${name}`),
  )
  assert.equal(brief(check('X:y').errors), ['error backends.app.healthCheck.headers='])
})

test.run()
