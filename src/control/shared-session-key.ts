// Seals the key that hashes sessions (sticky cookies, learned sessions) for replication: once under each secret that the leader
// accepts, so that only members can open it. The key is derived from the first leader's first secret and then kept, so that changing
// the secret moves no session. Sealing is deterministic: equal input gives equal text and therefore no new revision. Pure.

import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from 'node:crypto'

/** The key's entry in `shared` of the replicated body (body-codec.ts); no provider has this name. */
export const SESSION_KEY = '(session key)'

const KEY = /^[0-9a-f]{64}$/
const ALGORITHM = 'aes-256-gcm'
const IV_BYTES = 12
const TAG_BYTES = 16
const KEY_BYTES = 32
const SEALED = /^[A-Za-z0-9_-]{80}$/
/** Sealed texts in one entry: MAX_SECRETS of options/kinds.ts, with room for more in later versions. */
const MAX_SEALED = 16

/** One sealed text per secret, by the secret's fingerprint; null if `key` does not have the form of a session key (util/session-key.ts). */
export function sealSessionKey(key: string, secrets: readonly string[]): Readonly<Record<string, string>> | null {
  if (!KEY.test(key)) return null
  return Object.fromEntries(secrets.map(secret => [fingerprintOf(secret), seal(Buffer.from(key, 'hex'), secret)]))
}

/** `value` comes from the network or the disk. null if it holds no key that one of these secrets opens. */
export function openSessionKey(value: unknown, secrets: readonly string[]): string | null {
  if (typeof value !== 'object' || value === null || Object.keys(value).length > MAX_SEALED) return null
  for (const secret of secrets) {
    const fingerprint = fingerprintOf(secret)
    const sealed: unknown = Object.hasOwn(value, fingerprint) ? (value as Record<string, unknown>)[fingerprint] : undefined
    const key = typeof sealed === 'string' && SEALED.test(sealed) ? open(Buffer.from(sealed, 'base64url'), secret) : null
    if (key !== null) return key.toString('hex')
  }
  return null
}

function seal(key: Buffer, secret: string): string {
  const sealKey = sealingKey(secret)
  // The nonce is derived from the plaintext: one pair of key and nonce never seals two different texts.
  const iv = createHmac('sha256', sealKey).update(key).digest().subarray(0, IV_BYTES)
  const cipher = createCipheriv(ALGORITHM, sealKey, iv)
  return Buffer.concat([iv, cipher.update(key), cipher.final(), cipher.getAuthTag()]).toString('base64url')
}

function open(sealed: Buffer, secret: string): Buffer | null {
  const decipher = createDecipheriv(ALGORITHM, sealingKey(secret), sealed.subarray(0, IV_BYTES), { authTagLength: TAG_BYTES })
  decipher.setAuthTag(sealed.subarray(IV_BYTES + KEY_BYTES))
  try {
    return Buffer.concat([decipher.update(sealed.subarray(IV_BYTES, IV_BYTES + KEY_BYTES)), decipher.final()])
  } catch {
    return null
  }
}

function sealingKey(secret: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, 'skein', 'skein session key seal v1', KEY_BYTES))
}

/** One-way, and used for nothing else. */
function fingerprintOf(secret: string): string {
  return Buffer.from(hkdfSync('sha256', secret, 'skein', 'skein session key fingerprint v1', 8)).toString('hex')
}
