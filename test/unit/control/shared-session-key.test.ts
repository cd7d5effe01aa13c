import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { openSessionKey, sealSessionKey } from '../../../src/control/shared-session-key.ts'
import { deriveSessionKey } from '../../../src/util/session-key.ts'

const OLD = 'the old secret, long enough'
const NEW = 'the new secret, long enough'
const KEY = deriveSessionKey(OLD)
const sealed = sealSessionKey(KEY, [OLD, NEW])!

test('a key sealed under two secrets can be opened with either', () => {
  for (const secrets of [[OLD], [NEW], [NEW, OLD], ['another', NEW]]) assert.is(openSessionKey(sealed, secrets), KEY)
  assert.is(openSessionKey(sealed, ['another']), null)
  assert.is(openSessionKey(sealed, []), null)
})

test('sealing is deterministic and contains neither the key nor the secret', () => {
  assert.equal(sealSessionKey(KEY, [OLD, NEW]), sealed)
  assert.not.match(JSON.stringify(sealed), new RegExp(`${KEY.slice(0, 12)}|secret`))
  assert.is(new Set(Object.values(sealed)).size, 2)
})

test('a key of another form is not sealed', () => {
  for (const key of ['random key', '', KEY.toUpperCase(), `${KEY}00`]) assert.is(sealSessionKey(key, [OLD]), null)
})

test('a value that is no sealed key opens to null', () => {
  const [fingerprint, text] = Object.entries(sealSessionKey(KEY, [OLD])!)[0]!
  const flipped = (text[40] === 'A' ? 'B' : 'A') + text.slice(41)
  const many = Object.fromEntries(Array.from({ length: 17 }, (_, n) => [n === 0 ? fingerprint : `${n}`, text]))
  const inherited = Object.create({ [fingerprint]: text })
  for (const value of [
    undefined,
    null,
    7,
    'text',
    [],
    {},
    { [fingerprint]: 7 },
    { [fingerprint]: text.slice(0, 40) + flipped },
    { [fingerprint]: text.slice(1) },
    { [fingerprint]: `${text}AAAA` },
    { [fingerprint]: '' },
    many,
    inherited,
  ])
    assert.is(openSessionKey(value, [OLD]), null, JSON.stringify(value))
})

test.run()
