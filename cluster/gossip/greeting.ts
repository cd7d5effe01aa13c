// The name of a cluster in the first bytes of a connection. Two clusters may share one secret, so each has a network key of its
// own, made of secret and name. With that key alone a listener could not find out which other cluster has dialled it. The dialler
// therefore proves first that it holds the secret, and sends its cluster's name, sealed (ChaCha20-Poly1305) with a key made of the
// secret alone; the listener answers with its own name. Only a holder of the secret can seal a name. A sealed name cannot be
// replayed, since its key is made of both sides' nonces. Without the secret the bytes look random. Pure.

import { createCipheriv, createDecipheriv, createHmac } from 'node:crypto'
import { deriveKey, purposeOf } from '../secret.ts'

/** As `--cluster-name` takes it. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
const NAME_BYTES = 64
const TAG_BYTES = 16
const SUITE = 'chacha20-poly1305'
/** A key seals one block only, so its nonce may be constant. */
const ONCE = Buffer.alloc(12)

/** Bytes of a sealed name: its length, the name padded, the tag. */
export const SEALED_BYTES = 1 + NAME_BYTES + TAG_BYTES

/** Keys derived from one secret for the cluster of one name. */
export interface NetworkKeys {
  /** Encrypts all traffic between its members. */
  readonly network: Buffer
  /** Encrypts all traffic between members of the cluster that has the default name. */
  readonly nameless: Buffer
  /** Seals names: the same for all clusters of the secret. */
  readonly greeting: Buffer
}

export type Side = 'dialler' | 'listener'

export function networkKeys(secret: string, cluster: string): NetworkKeys {
  const nameless = deriveKey(secret, 'network')
  return { network: deriveKey(secret, purposeOf('network', cluster)), nameless, greeting: deriveKey(secret, 'greeting') }
}

/** @param nonces of both sides, the dialler's first */
export function sealName(name: string, key: Buffer, nonces: Buffer, side: Side): Buffer {
  const plain = Buffer.alloc(1 + NAME_BYTES)
  plain[0] = plain.write(name, 1, NAME_BYTES, 'latin1')
  const cipher = createCipheriv(SUITE, sealKey(key, nonces, side), ONCE, { authTagLength: TAG_BYTES })
  return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()])
}

/** @returns the name, or null when it was not sealed with this key, for this connection, by this side, or is no name */
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
