// The field by which replicas name the service of a relayed request: written and read back, and what is refused.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseRelay, relayLine, relayName } from '../../../../src/proxy/message/relay-field.ts'

test('any name of a service, with any Host, comes back as it was', () => {
  for (const service of ['shop', 'a b', 'é\u4e16', 'a;host=server', '%41', '\r\nEvil: 1', 'x'.repeat(500)]) {
    for (const host of ['client', 'server', 'none'] as const) {
      const line = relayLine(relayName(service), host)
      assert.match(line, /^Skein-Relay: [\x21-\x7e]+\r\n$/)
      assert.equal(parseRelay(line.slice('Skein-Relay: '.length, -2)), { service, host })
    }
  }
})

test('what nobody of us would write is refused', () => {
  for (const value of ['', ';host=server', 'a;', 'a;host=client', 'a;host=server;host=none', 'a; host=none', '%', '%zz', '%ff']) {
    assert.is(parseRelay(value), null, value)
  }
})

test('a name that is no Unicode is still a name', () => {
  assert.equal(parseRelay(relayName('a\ud800')), { service: 'a\ufffd', host: 'client' })
})

test.run()
