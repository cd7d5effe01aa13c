// The hash of session keys against the vectors of the reference code (github.com/veorq/SipHash, vectors.h, vectors_hsip64).

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { KeyHash, keyFor } from '../../../../src/proxy/sessions/key-hash.ts'
import { seeded } from '../balancing/servers.ts'

const VECTORS = `218d1f59b9b83cc8 be552412f8387315 064f39ef7c50eb57 ce0f1a45f7060679 d5e78a175be52ea1 cb9d7c3f2f3db580
  ce3e91358aa2bc25 ff202728b07bc684 edfee820bce4858c 5b51cccc13888307 95b0469f06a6f2ee ae26333994ddcd48 7bc71f9faef5c799
  5a2352d75a0c3744 3bb1a870eae8e658 217d0bcb4e81c902 7336aad25f7bf3b5 37adc0641c4c4f6a c9b2db2b9a3e42f9 f910e48020ab363c`

const counting = (length: number) => Array.from({ length }, (_, i) => String.fromCharCode(i)).join('')

function hex(hash: KeyHash): string {
  const out = Buffer.alloc(8)
  out.writeInt32LE(hash.high, 0)
  out.writeInt32LE(hash.low, 4)
  return out.toString('hex')
}

test('the vectors of the reference code', () => {
  const hash = new KeyHash(Uint8Array.from({ length: 8 }, (_, i) => i))
  const expected = VECTORS.split(/\s+/)
  for (const [length, vector] of expected.entries()) {
    hash.of(counting(length), 0, length)
    assert.is(hex(hash), vector, `${length} bytes`)
  }
  hash.of(counting(63), 0, 63)
  assert.is(hex(hash), '2ea63c71bf326087')
})

test('a part of a text hashes like the part alone', () => {
  const hash = new KeyHash(keyFor('key', 'shop', 'cookie', 'sid'))
  hash.of('abcdefg', 0, 7)
  const alone = hex(hash)
  hash.of('Cookie: sid=abcdefg; x=1', 12, 19)
  assert.is(hex(hash), alone)
})

test('keys differ by cluster, service, source and name', () => {
  const keys = [
    keyFor('a', 's', 'cookie', 'n'),
    keyFor('b', 's', 'cookie', 'n'),
    keyFor('a', 't', 'cookie', 'n'),
    keyFor('a', 's', 'query', 'n'),
    keyFor('a', 's', 'cookie', 'm'),
    keyFor('a', 'sc', 'ookie', 'n'),
  ]
  assert.is(new Set(keys.map(key => Buffer.from(key).toString('hex'))).size, keys.length)
  // Replicas of other versions must compute the same key.
  assert.is(Buffer.from(keys[0]!).toString('hex'), 'ee78972cd55cecc3')
})

test('a hundred thousand ids do not collide and use every bit', () => {
  const hash = new KeyHash(keyFor('key', 'shop', 'cookie', 'sid'))
  const random = seeded(3)
  const seen = new Set<string>()
  const ones = new Array<number>(64).fill(0)
  for (let i = 0; i < 100_000; i++) {
    const id = `${i.toString(36)}-${Math.floor(random() * 4)}`
    hash.of(id, 0, id.length)
    seen.add(`${hash.high} ${hash.low}`)
    for (let bit = 0; bit < 32; bit++) {
      ones[bit]! += (hash.high >>> bit) & 1
      ones[bit + 32]! += (hash.low >>> bit) & 1
    }
  }
  assert.is(seen.size, 100_000)
  for (const count of ones) assert.ok(Math.abs(count - 50_000) < 1000, `${count}`)
})

test.run()
