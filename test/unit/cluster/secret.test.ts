// Cluster secrets and the keys derived from them.

import { hkdfSync } from 'node:crypto'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { deriveKey, makeSecret } from '../../../cluster/secret.ts'

test('a generated secret has 256 bits, is printable, and is unique', () => {
  const secrets = new Set(Array.from({ length: 100 }, makeSecret))
  assert.is(secrets.size, 100)
  for (const secret of secrets) {
    assert.match(secret, /^[A-Za-z0-9_-]{43}$/)
    assert.is(Buffer.from(secret, 'base64url').length, 32)
  }
})

test('a key depends on secret and purpose only, and differs between purposes', () => {
  assert.equal(deriveKey('s', 'network'), deriveKey('s', 'network'))
  assert.is(deriveKey('s', 'network').length, 32)
  assert.not.equal(deriveKey('s', 'network'), deriveKey('s', 'relay'))
  assert.not.equal(deriveKey('s', 'network'), deriveKey('t', 'network'))
  assert.equal(deriveKey('s', 'network'), Buffer.from(hkdfSync('sha256', 's', 'skein/1', 'network', 32)))
})

test.run()
