// The Skein-Relay field: round trips of all names, and refusals.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseRelay, relayFields, relayName } from '../../../../src/proxy/message/relay-field.ts'

test('every service name and Host mode survives a round trip', () => {
  for (const service of ['shop', 'a b', 'é\u4e16', 'a;host=server', '%41', '\r\nEvil: 1', 'x'.repeat(500)]) {
    for (const host of ['client', 'server', 'none'] as const) {
      const value = relayFields(relayName(service), host).value('Skein-Relay')!
      assert.match(value, /^[\x21-\x7e]+$/)
      assert.equal(parseRelay(value), { service, host })
    }
  }
})

test('malformed fields are refused', () => {
  for (const value of ['', ';host=server', 'a;', 'a;host=client', 'a;host=server;host=none', 'a; host=none', '%', '%zz', '%ff']) {
    assert.is(parseRelay(value), null, value)
  }
})

test('a name with a lone surrogate is sent with a replacement character', () => {
  assert.equal(parseRelay(relayName('a\ud800')), { service: 'a\ufffd', host: 'client' })
})

test.run()
