// Examples from Traefik 1.7's documentation (basics, Frontends), and behaviour of its source, as tables.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { compileMatcher } from '../../../src/rules/matcher.ts'
import { parseRule } from '../../../src/rules/traefik-v1.ts'
import { apply } from '../middlewares/apply.ts'
import { type FakeFields, request } from './fake-request.ts'

function rule(text: string) {
  const parsed = parseRule(text)
  if (!parsed.ok) throw new Error(`${text}: ${parsed.message}`)
  return parsed
}

test('matchers', () => {
  const cases: [rule: string, fields: FakeFields, matches: boolean][] = [
    ['Host:foo.bar', { host: 'foo.bar' }, true],
    ['Host:foo.bar', { host: 'bar' }, false],
    ['Host: Foo.Bar ; Path:/FOObar', { host: 'foo.bar', target: '/FOObar' }, true],
    ['Host: Foo.Bar ; Path:/FOObar', { host: 'foo.bar', target: '/foobar' }, false],
    ['Host: traefik.io, www.traefik.io', { host: 'www.traefik.io' }, true],
    ['Host:a.b;', { host: 'a.b' }, true],
    ['Host:a.b;Host:c.d', { host: 'a.b' }, false],
    ['HostRegexp: traefik.io, {subdomain:[a-z]+}.traefik.io', { host: 'traefik.io' }, true],
    ['HostRegexp: traefik.io, {subdomain:[a-z]+}.traefik.io', { host: 'abc.traefik.io' }, true],
    ['HostRegexp: traefik.io, {subdomain:[a-z]+}.traefik.io', { host: 'a1.traefik.io' }, false],
    ['HostRegexp: traefik.io, {subdomain:[a-z]+}.traefik.io', { host: 'xtraefik.io' }, false],
    ['HostRegexp:{subdomain:[a-z]+}.localhost', { host: 'a.localhost' }, true],
    ['HostRegexp:{subdomain:[a-z]+}.localhost', { host: 'a.b.localhost' }, false],
    ['HostRegexp:{subdomain}.localhost', { host: 'a.b.localhost' }, false],
    ['HostRegexp:{subdomain}.localhost', { host: 'a1-b.localhost' }, true],
    ['HostRegexp:{subdomain:.+}.localhost', { host: 'a.b.localhost' }, true],
    ['HostRegexp:{subdomain:(foo\\.)?bar\\.com}', { host: 'foo.bar.com' }, true],
    ['HostRegexp:{subdomain:(foo\\.)?bar\\.com}', { host: 'bar.com' }, true],
    ['HostRegexp:{subdomain:(foo\\.)?bar\\.com}', { host: 'fooubar.com' }, false],
    ['HostRegexp:{subdomain:(?:foo\\.)?bar\\.com}', { host: 'barcom' }, false],
    ['HostRegexp:{dummy:[A-Za-z-]+\\.bar\\.com}', { host: 'foo.bar.com' }, true],
    ['HostRegexp:{dummy:[A-Z]+\\.bar\\.com}', { host: 'foo.bar.com' }, true],
    ['HostRegexp:{id:[0-9]{1,3}}.x', { host: '123.x' }, true],
    ['HostRegexp:{id:[0-9]{1,3}}.x', { host: '1234.x' }, false],
    ['Path: /products/, /articles/{category}/{id:[0-9]+}', { target: '/products/' }, true],
    ['Path: /products/, /articles/{category}/{id:[0-9]+}', { target: '/products' }, false],
    ['Path: /products/, /articles/{category}/{id:[0-9]+}', { target: '/articles/x/12' }, true],
    ['Path: /products/, /articles/{category}/{id:[0-9]+}', { target: '/articles/x/12/y' }, false],
    ['Path: /products/, /articles/{category}/{id:[0-9]+}', { target: '/articles/x/y/12' }, false],
    ['Path:/products', { target: '/products?x=/' }, true],
    ['PathStrip:/products/', { target: '/products/' }, true],
    ['PathStrip:/products/', { target: '/products/1' }, false],
    ['PathPrefix: /products/, /articles/{category}/{id:[0-9]+}', { target: '/articles/x/12/y' }, true],
    ['PathPrefix:/api', { target: '/api' }, true],
    ['PathPrefix:/api', { target: '/api/x' }, true],
    ['PathPrefix:/api', { target: '/apix' }, true],
    ['PathPrefix:/api', { target: '/Api' }, false],
    ['PathPrefix:/api/', { target: '/api' }, false],
    ['PathPrefix:/', { target: '*' }, false],
    ['PathPrefixStripRegex:/a/{id:(?:x|y)?}z', { target: '/a/xz1' }, true],
    ['Method: GET, post', { method: 'POST' }, true],
    ['Method: GET', { method: 'get' }, false],
    ['Headers: Content-Type, application/json', { headers: { 'content-type': ['application/json'] } }, true],
    ['Headers: Content-Type, application/json', { headers: { 'content-type': ['application/json; charset=utf-8'] } }, false],
    ['Headers: X-A, 2', { headers: { 'x-a': ['1', '2'] } }, true],
    ['Headers: X-A, 1, X-B, 2', { headers: { 'x-a': ['1'] } }, false],
    [
      'HeadersRegexp: Content-Type, application/(text|json)',
      { headers: { 'content-type': ['application/json; charset=utf-8'] } },
      true,
    ],
    ['HeadersRegexp: Content-Type, application/(text|json)', { headers: { 'content-type': ['text/html'] } }, false],
    ['HeadersRegexp: X-A, ^a{2,3}$', { headers: { 'x-a': ['b', 'aaa'] } }, true],
    ['HeadersRegexp: X-A, ^(?:a|b)$', { headers: { 'x-a': ['b'] } }, true],
    ['Query: foo=bar, bar=baz', { target: '/?bar=baz&foo=bar' }, true],
    ['Query: foo=bar, bar=baz', { target: '/?foo=bar' }, false],
    ['Query: foo=', { target: '/?foo=x' }, true],
    ['Query: foo=', { target: '/' }, false],
    ['Query: id={id:[0-9]+}', { target: '/?id=12' }, true],
    ['Query: id={id:[0-9]+}', { target: '/?id=x12' }, false],
    ['AddPrefix:/x', { host: 'any', target: '/y' }, true],
    // Compared as received: an encoded slash is not a slash.
    ['PathPrefix:/admin/', { target: '/admin%2fx' }, false],
    ['PathPrefix:/admin', { target: '/x/../admin' }, false],
    ['PathPrefix:/admin', { target: '//admin' }, false],
    ['Path:/café', { target: '/caf%C3%A9' }, true],
  ]
  for (const [text, fields, matches] of cases) {
    assert.is(compileMatcher(rule(text).matcher)(request(fields)), matches, `${text} on ${JSON.stringify(fields)}`)
  }
})

test('modifiers', () => {
  const cases: [rule: string, target: string, path: string, header: [string, string] | null][] = [
    ['PathStrip:/products/', '/products/', '/', ['X-Forwarded-Prefix', '/products/']],
    ['PathPrefixStrip:/stat', '/stat', '/', ['X-Forwarded-Prefix', '/stat']],
    ['PathPrefixStrip:/stat', '/stat/us', '/us', ['X-Forwarded-Prefix', '/stat']],
    ['PathPrefixStrip:/stat/', '/stat/us', '/us', ['X-Forwarded-Prefix', '/stat/']],
    ['PathPrefixStrip:/stat', '/status', '/us', ['X-Forwarded-Prefix', '/stat']],
    // The longest prefix is tried first, whatever the order in the rule.
    ['PathPrefixStrip:/stat,/stat/us', '/stat/us/x', '/x', ['X-Forwarded-Prefix', '/stat/us']],
    ['PathPrefixStrip:/stat', '/stat/a%2Fb', '/a%2Fb', ['X-Forwarded-Prefix', '/stat']],
    ['PathStripRegex:/articles/{category}/{id:[0-9]+}', '/articles/x/12', '/', ['X-Forwarded-Prefix', '/articles/x/12']],
    ['PathPrefixStripRegex:/c/{category}/{id:[0-9]+}/', '/c/api/123/test3', '/test3', ['X-Forwarded-Prefix', '/c/api/123/']],
    ['PathPrefixStripRegex:/a/api/', '/a/api/a%2Fb', '/a%2Fb', ['X-Forwarded-Prefix', '/a/api/']],
    ['AddPrefix:/products', '/x', '/products/x', null],
    ['ReplacePath:/serverless-path', '/x', '/serverless-path', ['X-Replaced-Path', '/x']],
    ['ReplacePathRegex:^/api/v2/(.*) /api/$1', '/api/v2/x', '/api/x', ['X-Replaced-Path', '/api/v2/x']],
    ['ReplacePathRegex:^/api/v2/(.*) /api/$1', '/other', '/other', null],
    ['ReplacePathRegex:^/a{1,2}/(x|y) /$1', '/aa/x', '/x', ['X-Replaced-Path', '/aa/x']],
    // The order is fixed: strip, add, replace.
    ['AddPrefix:/v1;PathPrefixStrip:/api', '/api/x', '/v1/x', ['X-Forwarded-Prefix', '/api']],
    ['ReplacePathRegex:^/v1/(.*) /$1-new;AddPrefix:/v1;PathPrefixStrip:/api', '/api/x', '/x-new', ['X-Replaced-Path', '/v1/x']],
  ]
  for (const [text, target, path, header] of cases) {
    const x = request({ target })
    for (const middleware of rule(text).middlewares) apply(middleware, x)
    assert.is(x.path, path, `${text} on ${target}`)
    if (header === null) assert.is(x.set.size, 0, text)
    else assert.is(x.set.get(header[0]), header[1], text)
  }
})

test("the priority is the rule's length, as documented", () => {
  assert.is(rule('PathPrefix:/foo;Host:foo.com').priority, 28)
  assert.is(rule('PathPrefixStrip:/foobar').priority, 23)
  assert.is(rule('PathPrefix:/foo,/bar').priority, 20)
  assert.is(rule('PathPrefix:/to').priority, 14)
  // Bytes, as Go counts.
  assert.is(rule('Path:/é').priority, 8)
})

test('mistakes are returned, never thrown', () => {
  const cases: [rule: string, message: RegExp][] = [
    ['', /found nothing/],
    [' ; ', /found nothing/],
    ['Host', /Host:value/],
    ['Host: ;Path:/test', /Host:value/],
    ['Host:,', /Host:value/],
    ['host:foo', /write Host/],
    ['Nope:x', /one of Host, .*found 'Nope'/],
    ['Host(`foo`)', /newer Traefik/],
    ['Host:foo:8080', /without port/],
    ['Host:*.foo', /HostRegexp/],
    ['HostRegexp:{sub:[a-z+}.x', /HostRegexp: a regular expression.*missing closing/],
    ['HostRegexp:{sub:[a-z]+.x', /never closed/],
    ['Path:products', /begins with '\/'/],
    ['PathPrefix:bar/', /begins with '\/'/],
    ['PathPrefixStrip:/a/{id}', /use PathPrefixStripRegex/],
    ['PathPrefix:/{id:(?!x)}', /PathPrefix: a regular expression/],
    ['Path: /path1;Query:param_one=true, /path2', /Query: name=value; found '\/path2'/],
    ['Query:a=b=c', /Query: name=value/],
    ['Headers:X', /pairs/],
    ['Headers:X Y,1', /a header name/],
    ['HeadersRegexp:X,(', /HeadersRegexp: a regular expression/],
    ['Method:GE T', /a method/],
    ['ReplacePathRegex:^/a', /one space/],
    ['ReplacePathRegex:^/a /b /c', /one space/],
    ['ReplacePathRegex:( /b', /ReplacePathRegex: a regular expression/],
    ['AddPrefix:x', /begins with '\/'/],
    [`Host:${Array.from({ length: 300 }, (_, i) => `h${i}`).join(',')}`, /at most 256/],
    [`HostRegexp:{x:${'a'.repeat(1_100)}}`, /at most 1024/],
  ]
  for (const [text, message] of cases) {
    const parsed = parseRule(text)
    assert.not.ok(parsed.ok, text)
    if (!parsed.ok) assert.match(parsed.message, message, text)
  }
})

test('an invalid alternative is left out, and the rule never matches more', () => {
  const long = 'x'.repeat(2_049)
  const cases: [rule: string, rest: string, message: RegExp][] = [
    ['Host:a.b,*.c.d', 'Host:a.b', /HostRegexp/],
    ['Host:a.b:80,c.d', 'Host:c.d', /without port/],
    [`Host:${long},c.d;PathPrefix:/x`, 'Host:c.d;PathPrefix:/x', /at most 2048/],
    ['HostRegexp:{x:[a-}.b,c.d,{y}.e', 'HostRegexp:c.d,{y}.e', /regular expression/],
    ['HostRegexp:a b,{y}.e', 'HostRegexp:{y}.e', /a host name/],
    ['Path:a,/b', 'Path:/b', /begins with/],
    ['Path:/{x:(}/,/b', 'Path:/b', /regular expression/],
    ['PathPrefix:/b,c', 'PathPrefix:/b', /begins with/],
    ['PathStrip:/{x},/b', 'PathStrip:/b', /use PathStripRegex/],
    ['PathPrefixStrip:/a,b,/c', 'PathPrefixStrip:/a,/c', /begins with/],
    ['PathStripRegex:/a,/{x:[}', 'PathStripRegex:/a', /regular expression/],
    ['PathPrefixStripRegex:/a,x', 'PathPrefixStripRegex:/a', /begins with/],
    ['Method:GET,P ST', 'Method:GET', /a method/],
  ]
  for (const [text, rest, message] of cases) {
    const parsed = rule(text)
    assert.is(parsed.leftOut.length, 1, text)
    assert.match(parsed.leftOut[0] ?? '', message, text)
    assert.equal([parsed.matcher, parsed.middlewares], [rule(rest).matcher, rule(rest).middlewares], text)
    assert.equal(rule(rest).leftOut, [])
  }
  // All values are invalid, or all must hold: leaving one out would match more.
  for (const text of [
    'Host:*.a;PathPrefix:/x',
    'Host:a;PathPrefix:x',
    'Host:a;Method:G T,P T',
    'Host:a;Headers:X-A,1,X B,2',
    'Host:a;Headers:X-A,1,X-B',
    'Host:a;HeadersRegexp:X-A,1,X-B,(',
    'Host:a;Query:a=1,b',
    `Host:a;Headers:X-A,1,X-B,${long}`,
    `Host:a;Query:a=1,b=${long}`,
  ]) {
    assert.not.ok(parseRule(text).ok, text)
  }
})

test('exact hosts and paths stay exact, so that they can be indexed', () => {
  assert.equal(rule('Host:a.b;PathPrefix:/x').matcher, {
    kind: 'and',
    of: [
      { kind: 'host', hosts: ['a.b'] },
      { kind: 'pathPrefix', prefixes: ['/x'] },
    ],
  })
  assert.equal(rule('HostRegexp:a.b').matcher, { kind: 'host', hosts: ['a.b'] })
})

test.run()
