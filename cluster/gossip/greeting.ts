// The cluster's name in the first bytes of a connection. Two clusters may share a secret, so the network key is derived from
// secret and name. With that key alone a listener could not determine which other cluster dialled it. The dialler therefore
// first proves that it holds the secret and sends its cluster's name, sealed (ChaCha20-Poly1305, RFC 8439) with a key derived
// from the secret alone; the listener responds with its own. A sealed name cannot be replayed, because its key depends on both
// nonces. Without the secret the bytes are indistinguishable from random. Pure.

import { createCipheriv, createDecipheriv, createHmac } from 'node:crypto'
import { deriveKey, purposeOf } from '../secret.ts'

/** The format of `--cluster-name`. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
const NAME_BYTES = 64
const TAG_BYTES = 16
const SUITE = 'chacha20-poly1305'
/** Each key seals one block only, so the nonce may be constant. */
const ONCE = Buffer.alloc(12)

/** Bytes of a sealed name: length, padded name, tag. */
export const SEALED_BYTES = 1 + NAME_BYTES + TAG_BYTES

/** Keys derived from one secret for one cluster name. */
export interface NetworkKeys {
  /** Encrypts all traffic between members of this cluster. */
  readonly network: Buffer
  /** The same for the cluster of the default name, which sends no name in its greeting. */
  readonly nameless: Buffer
  /** Seals names; equal for all clusters of the secret. */
  readonly greeting: Buffer
}

export type Side = 'dialler' | 'listener'

export function networkKeys(secret: string, cluster: string): NetworkKeys {
  const nameless = deriveKey(secret, 'network')
  return { network: deriveKey(secret, purposeOf('network', cluster)), nameless, greeting: deriveKey(secret, 'greeting') }
}

/** @param nonces both sides' nonces, the dialler's first */
export function sealName(name: string, key: Buffer, nonces: Buffer, side: Side): Buffer {
  const plain = Buffer.alloc(1 + NAME_BYTES)
  plain[0] = plain.write(name, 1, NAME_BYTES, 'latin1')
  const cipher = createCipheriv(SUITE, sealKey(key, nonces, side), ONCE, { authTagLength: TAG_BYTES })
  return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()])
}

/** @returns the name; null when it was not sealed with this key, for this connection, by this side, or is not a valid name */
export function openName(sealed: Buffer, key: Buffer, nonces: Buffer, side: Side): string | null {
  if (sealed.length !== SEALED_BYTES) return null
  const cipher = createDecipheriv(SUITE, sealKey(key, nonces, side), ONCE, { authTagLength: TAG_BYTES })
  cipher.setAuthTag(sealed.subarray(SEALED_BYTES - TAG_BYTES))
  try {
    const plain = Buffer.concat([cipher.update(sealed.subarray(0, SEALED_BYTES - TAG_BYTES)), cipher.final()])
    const name = plain.toString('latin1', 1, 1 + Math.min(plain[0] ?? 0, NAME_BYTES))
    return NAME.test(name) ? name : null
  } catch {
    return null
  }
}

function sealKey(key: Buffer, nonces: Buffer, side: Side): Buffer {
  return createHmac('sha256', key).update(`name of ${side}`).update(nonces).digest()
}
