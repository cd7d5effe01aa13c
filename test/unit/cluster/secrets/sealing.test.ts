// Encryption of secret values: which keys open them, and what damage is detected.

import { randomBytes } from 'node:crypto'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Keyring, OVERHEAD_BYTES } from '../../../../cluster/secrets/sealing.ts'

const ring = (...secrets: string[]): Keyring => new Keyring(secrets, 'skein', randomBytes)
const VALUE = Buffer.from('-----BEGIN PRIVATE KEY-----')

test('a sealed value opens with the same secret and context only', () => {
  const sealed = ring('a').seal(VALUE, 'x')
  assert.is(sealed.length, VALUE.length + OVERHEAD_BYTES)
  assert.is(sealed.indexOf('PRIVATE'), -1)
  assert.equal(ring('a').open(sealed, 'x'), { ok: true, value: VALUE })
  assert.equal(ring('a').open(sealed, 'y'), { ok: false, reason: 'corrupt' })
  assert.equal(ring('b').open(sealed, 'x'), { ok: false, reason: 'key' })
  assert.equal(new Keyring(['a'], 'other', randomBytes).open(sealed, 'x'), { ok: false, reason: 'key' })
})

test('two seals of one value differ', () => {
  assert.not.equal(ring('a').seal(VALUE, 'x'), ring('a').seal(VALUE, 'x'))
})

test('rotation: every accepted secret opens, the first one seals, the others are outdated', () => {
  const old = ring('a').seal(VALUE, 'x')
  const both = ring('b', 'a')
  assert.equal(both.open(old, 'x'), { ok: true, value: VALUE })
  assert.ok(both.isOutdated(old))
  const renewed = both.seal(VALUE, 'x')
  assert.not(both.isOutdated(renewed))
  assert.equal(ring('b').open(renewed, 'x'), { ok: true, value: VALUE })
  assert.not(ring('b').isOutdated(old), 'an unknown key is not outdated')
})

test('any changed byte and any shortened value is detected', () => {
  const keyring = ring('a')
  const sealed = keyring.seal(VALUE, 'x')
  for (let at = 0; at < sealed.length; at++) {
    const changed = Buffer.from(sealed)
    changed[at]! ^= 1
    assert.not(keyring.open(changed, 'x').ok, `byte ${at}`)
    assert.not(keyring.open(sealed.subarray(0, at), 'x').ok, `length ${at}`)
  }
})

test('an empty value can be sealed', () => {
  const keyring = ring('a')
  assert.equal(keyring.open(keyring.seal(Buffer.alloc(0), 'x'), 'x'), { ok: true, value: Buffer.alloc(0) })
})

test('a keyring without a secret is an error', () => {
  assert.throws(() => ring(), /needs a cluster secret/)
})

test.run()
