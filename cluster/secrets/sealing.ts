// Encryption of the values of the secret state: AES-256-GCM (NIST SP 800-38D) with a key derived from the cluster secret and name.
// Name and version are authenticated with the value, so a sealed value cannot be moved to another entry or version. Every secret
// that the member accepts opens values; the first one seals them, so that a secret can be rotated.

import { createCipheriv, createDecipheriv, createHmac } from 'node:crypto'
import { deriveKey, purposeOf } from '../secret.ts'

const ALGORITHM = 'aes-256-gcm'
const FORMAT = 1
const KEY_ID_BYTES = 8
/** Random; safe for 2^32 values per key (SP 800-38D, section 8.3). */
const NONCE_BYTES = 12
const TAG_BYTES = 16
const HEAD_BYTES = 1 + KEY_ID_BYTES + NONCE_BYTES

/** Bytes that sealing adds to a value. */
export const OVERHEAD_BYTES = HEAD_BYTES + TAG_BYTES

export type Opened =
  | { readonly ok: true; readonly value: Buffer }
  /** `key`: sealed with a secret that is not accepted here. `corrupt`: damaged, or sealed for another entry or version. */
  | { readonly ok: false; readonly reason: 'key' | 'corrupt' }

interface Key {
  readonly id: Buffer
  readonly bytes: Buffer
}

export class Keyring {
  readonly #keys: readonly Key[]
  readonly #random: (bytes: number) => Buffer

  /**
   * @param secrets at least one; the first seals, all open
   * @param random cryptographically secure bytes
   */
  constructor(secrets: readonly string[], cluster: string, random: (bytes: number) => Buffer) {
    if (secrets.length === 0) throw new Error('the secret state needs a cluster secret; none is given')
    this.#random = random
    this.#keys = secrets.map(secret => {
      const bytes = deriveKey(secret, purposeOf('secret state', cluster))
      return { bytes, id: createHmac('sha256', bytes).update('key id').digest().subarray(0, KEY_ID_BYTES) }
    })
  }

  /** @param context name and version of the entry */
  seal(value: Uint8Array, context: string): Buffer {
    const key = this.#keys[0]!
    const nonce = this.#random(NONCE_BYTES)
    const cipher = createCipheriv(ALGORITHM, key.bytes, nonce, { authTagLength: TAG_BYTES }).setAAD(Buffer.from(context))
    return Buffer.concat([Buffer.of(FORMAT), key.id, nonce, cipher.update(value), cipher.final(), cipher.getAuthTag()])
  }

  open(sealed: Buffer, context: string): Opened {
    if (sealed.length < OVERHEAD_BYTES || sealed[0] !== FORMAT) return { ok: false, reason: 'corrupt' }
    const key = this.#keyOf(sealed)
    if (key === undefined) return { ok: false, reason: 'key' }
    const nonce = sealed.subarray(1 + KEY_ID_BYTES, HEAD_BYTES)
    const decipher = createDecipheriv(ALGORITHM, key.bytes, nonce, { authTagLength: TAG_BYTES })
      .setAAD(Buffer.from(context))
      .setAuthTag(sealed.subarray(-TAG_BYTES))
    try {
      return { ok: true, value: Buffer.concat([decipher.update(sealed.subarray(HEAD_BYTES, -TAG_BYTES)), decipher.final()]) }
    } catch {
      return { ok: false, reason: 'corrupt' }
    }
  }

  /** True when the value was sealed with a secret that is accepted but is not the first. */
  isOutdated(sealed: Buffer): boolean {
    const key = this.#keyOf(sealed)
    return key !== undefined && key !== this.#keys[0]
  }

  #keyOf(sealed: Buffer): Key | undefined {
    const id = sealed.subarray(1, 1 + KEY_ID_BYTES)
    return this.#keys.find(key => key.id.equals(id))
  }
}
