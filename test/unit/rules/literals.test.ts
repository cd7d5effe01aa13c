import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { hostLiteral, pathLiteral } from '../../../src/rules/literals.ts'

test('hosts are converted to lower case and ASCII', () => {
  for (const [written, text] of [
    ['Foo.Bar', 'foo.bar'],
    ['foo.bar.', 'foo.bar'],
    ['my_service', 'my_service'],
    ['bücher.example', 'xn--bcher-kva.example'],
    ['10.0.0.1', '10.0.0.1'],
    ['[::1]', '[::1]'],
  ] as const) {
    assert.equal(hostLiteral(written), { ok: true, text }, written)
  }
})

test('invalid hosts are refused with a hint', () => {
  for (const [written, message] of [
    ['foo.bar:8080', /without port/],
    ['*.example.com', /HostRegexp:\{name:\[\^\.\]\+\}\.example\.com/],
    ['{sub:[a-z]+}.x', /use HostRegexp/],
    ['foo/bar', /a host name/],
    ['foo bar', /a host name/],
    ['-', /a host name/],
    ['a..b', /a host name/],
    ['a'.repeat(300), /a host name/],
  ] as const) {
    const result = hostLiteral(written)
    assert.not.ok(result.ok, written)
    if (!result.ok) assert.match(result.message, message)
  }
})

test('paths are encoded where a request line requires it, and never decoded', () => {
  for (const [written, text] of [
    ['/a/b', '/a/b'],
    ['/café', '/caf%C3%A9'],
    ['/a b', '/a%20b'],
    ['/a%2Fb', '/a%2Fb'],
    ['/a?b#c', '/a%3Fb%23c'],
    ['/\r\nX: y', '/%0D%0AX:%20y'],
    ['/😀', '/%F0%9F%98%80'],
  ] as const) {
    assert.is(pathLiteral(written), text)
  }
})

test.run()
