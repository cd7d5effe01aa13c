import { randomBytes } from 'node:crypto'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { networkKeys, openName, SEALED_BYTES, sealName } from '../../../../cluster/gossip/greeting.ts'
import { DEFAULT_CLUSTER, deriveKey } from '../../../../cluster/secret.ts'

const { greeting } = networkKeys('secret', 'a')
const nonces = randomBytes(48)

test('a sealed name opens only with its key, for that connection and that side', () => {
  for (const name of ['a', 'edge-west_2.x', 'x'.repeat(64)]) {
    const sealed = sealName(name, greeting, nonces, 'dialler')
    assert.is(sealed.length, SEALED_BYTES)
    assert.is(openName(sealed, greeting, nonces, 'dialler'), name)
    assert.is(openName(sealed, greeting, nonces, 'listener'), null)
    assert.is(openName(sealed, greeting, randomBytes(48), 'dialler'), null)
    assert.is(openName(sealed, networkKeys('other', 'a').greeting, nonces, 'dialler'), null)
  }
})

test('a sealed name with a changed byte or a wrong length does not open', () => {
  const sealed = sealName('edge', greeting, nonces, 'listener')
  for (let i = 0; i < sealed.length; i++) {
    const changed = Buffer.from(sealed)
    changed[i] = changed[i]! ^ 1
    assert.is(openName(changed, greeting, nonces, 'listener'), null, String(i))
  }
  for (const length of [0, 1, 16, 80]) assert.is(openName(sealed.subarray(0, length), greeting, nonces, 'listener'), null)
  assert.is(openName(Buffer.concat([sealed, sealed]), greeting, nonces, 'listener'), null)
})

test('a valid seal around an invalid name gives no name', () => {
  for (const name of ['', ' ', 'a b', '-a', 'a\n', '\u001b[2J', 'é'])
    assert.is(openName(sealName(name, greeting, nonces, 'dialler'), greeting, nonces, 'dialler'), null, JSON.stringify(name))
})

test('each name has a network key of its own; the default name keeps the key of older versions', () => {
  const keys = ['a', 'b', DEFAULT_CLUSTER].map(name => networkKeys('secret', name))
  assert.is(new Set(keys.map(({ network }) => network.toString('hex'))).size, 3)
  assert.equal(keys[2]?.network, deriveKey('secret', 'network'))
  for (const { nameless, greeting: key } of keys) assert.equal([nameless, key], [deriveKey('secret', 'network'), greeting])
})

test.run()
