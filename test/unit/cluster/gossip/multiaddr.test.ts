// Conversion of addresses.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { formatAddress, fromMultiaddr, parseAddress, toMultiaddr } from '../../../../cluster/gossip/multiaddr.ts'

test('an address survives a round trip', () => {
  for (const text of ['10.0.0.1:7946', '[fd00::1]:1', '[::1]:65535', '127.0.0.1:80']) {
    const parsed = parseAddress(text)
    assert.ok(parsed)
    assert.is(formatAddress(parsed), text)
    assert.is(fromMultiaddr(toMultiaddr(parsed)), text)
  }
})

test('anything but an IP literal with a port is refused', () => {
  const bad = [
    '',
    'edge:1',
    '10.0.0.1',
    '10.0.0.1:0',
    '10.0.0.1:65536',
    '10.0.0.256:1',
    '::1:1',
    '[10.0.0.1]:1',
    '[::1]',
    '10.0.0.1:1 ',
  ]
  for (const text of bad) assert.is(parseAddress(text), null, text)
})

test.run()
