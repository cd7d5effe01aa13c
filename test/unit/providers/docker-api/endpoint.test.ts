// Parsing of endpoints: accepted forms, and the message for each mistake.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { formatEndpoint, needsLookup, parseEndpoint } from '../../../../src/providers/docker-api/endpoint.ts'

for (const [text, lookup] of [
  ['unix:///var/run/docker.sock', false],
  ['tcp://10.0.0.1:2375', false],
  ['tcp://[fd00::1]:2376', false],
  ['agent://tasks.managers:7999', true],
  ['tcp://manager-1.example.com:2376', true],
] as const) {
  test(`${text} is parsed and formatted back`, () => {
    const parsed = parseEndpoint(text)
    assert.ok(parsed.ok)
    if (!parsed.ok) return
    assert.is(formatEndpoint(parsed.endpoint), text)
    assert.is(needsLookup(parsed.endpoint), lookup)
  })
}

test('host names are converted to lower case, so equal endpoints are equal texts', () => {
  const parsed = parseEndpoint('tcp://Manager.Example:2375/')
  assert.ok(parsed.ok && formatEndpoint(parsed.endpoint) === 'tcp://manager.example:2375')
})

for (const [text, expected] of [
  ['', /expected unix:\/\/\/path, tcp:\/\/host:port or agent:\/\/host:port/],
  ['10.0.0.1:2375', /expected unix/],
  ['http://10.0.0.1:2375', /unknown scheme http/],
  ['unix://docker.sock', /absolute path/],
  [`unix:///${'a'.repeat(200)}`, /107 bytes/],
  ['tcp://10.0.0.1', /expected tcp:\/\/host:port/],
  ['tcp://10.0.0.1:0', /port from 1 to 65535/],
  ['tcp://10.0.0.1:70000', /port from 1 to 65535/],
  ['tcp://10.0.0.1:2375/path', /expected tcp:\/\/host:port/],
  ['tcp://user:pass@host:1', /expected tcp/],
  ['tcp://ho st:1', /neither an address nor a host name/],
  ['tcp://[10.0.0.1]:1', /neither an address nor a host name/],
  ['agent://-x:1', /neither an address nor a host name/],
] as const) {
  test(`${JSON.stringify(text.slice(0, 40))} is refused with a message`, () => {
    const parsed = parseEndpoint(text)
    assert.not.ok(parsed.ok)
    if (!parsed.ok) assert.match(parsed.message, expected)
  })
}

test.run()
