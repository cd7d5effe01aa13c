// Hashes session ids to 64 bits: HalfSipHash-2-4, keyed with the cluster's cookie key. Shared state reveals no session id, clients
// cannot construct collisions, and all replicas compute the same hash. Uses 32-bit arithmetic without allocation, since it runs once
// per request. Sources: Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012); github.com/veorq/SipHash.

import { createHmac } from 'node:crypto'

export class KeyHash {
  /** The halves of the last hash, signed 32 bits each. */
  high = 0
  low = 0
  readonly #k0: number
  readonly #k1: number

  /** `key`: 8 bytes. */
  constructor(key: Uint8Array) {
    const view = new DataView(key.buffer, key.byteOffset, 8)
    this.#k0 = view.getInt32(0, true)
    this.#k1 = view.getInt32(4, true)
  }

  /** Hashes the characters `from`..`to` of a latin1 text into `high` and `low`. */
  of(text: string, from: number, to: number): void {
    const words = (to - from) >> 2
    let v0 = this.#k0
    let v1 = this.#k1 ^ 0xee
    let v2 = this.#k0 ^ 0x6c796765
    let v3 = this.#k1 ^ 0x74656462
    let at = from
    for (let step = 0; ; step++) {
      let word = 0
      let rounds = 2
      if (step < words) {
        word = fourBytes(text, at)
        at += 4
      } else if (step === words) word = lastBytes(text, at, to, to - from)
      else {
        rounds = 4
        if (step === words + 1) v2 ^= 0xee
        else {
          this.high = v1 ^ v3
          v1 ^= 0xdd
        }
      }
      v3 ^= word
      for (; rounds > 0; rounds--) {
        v0 = (v0 + v1) | 0
        v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
        v0 = (v0 << 16) | (v0 >>> 16)
        v2 = (v2 + v3) | 0
        v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
        v0 = (v0 + v3) | 0
        v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
        v2 = (v2 + v1) | 0
        v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
        v2 = (v2 << 16) | (v2 >>> 16)
      }
      v0 ^= word
      if (step === words + 2) break
    }
    this.low = v1 ^ v3
  }
}

/** Derives the hash key of a service's sessions, one per service and key source. */
export function keyFor(cookieKey: string, service: string, from: string, name: string): Uint8Array {
  return createHmac('sha256', cookieKey).update(`session\0${service}\0${from}\0${name}`).digest().subarray(0, 8)
}

function fourBytes(text: string, at: number): number {
  return (
    (text.charCodeAt(at) & 0xff) |
    ((text.charCodeAt(at + 1) & 0xff) << 8) |
    ((text.charCodeAt(at + 2) & 0xff) << 16) |
    (text.charCodeAt(at + 3) << 24)
  )
}

/** The last word: the remaining zero to three bytes and the length. */
function lastBytes(text: string, at: number, to: number, length: number): number {
  let word = length << 24
  for (let i = 0; at + i < to; i++) word |= (text.charCodeAt(at + i) & 0xff) << (8 * i)
  return word
}
