// The key under which sessions are known (sticky cookies, learned sessions), as the leader replicates it: sealed under each secret
// that it accepts, so that members alone can open it. It is made from the first secret of the first leader and then
// kept, so that changing the secret moves no session. Sealing is deterministic: the same key under the same secrets gives the same
// text, and no new revision. Pure.

import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from 'node:crypto'

/** Its place in `shared` of what the leader replicates (cluster-body.ts); no provider has this name. */
export const SESSION_KEY = '(session key)'

const KEY = /^[0-9a-f]{64}$/
const ALGORITHM = 'aes-256-gcm'
const IV_BYTES = 12
const TAG_BYTES = 16
const KEY_BYTES = 32
const SEALED = /^[A-Za-z0-9_-]{80}$/
/** Secrets of one leader, at most (MAX_SECRETS in options/kinds.ts), with room for more in later versions. */
const MOST_SEALED = 16

/** The key of sessions that a secret gives: 64 hexadecimal digits, of no use to find the secret (HKDF, RFC 5869). */
export function deriveSessionKey(secret: string): string {
  return Buffer.from(hkdfSync('sha256', secret, '', 'skein sticky cookie v1', KEY_BYTES)).toString('hex')
}

/** One text per secret, by the secret's fingerprint. `key` as deriveSessionKey gives it; another one is not sealed (null). */
export function sealSessionKey(key: string, secrets: readonly string[]): Readonly<Record<string, string>> | null {
  if (!KEY.test(key)) return null
  return Object.fromEntries(secrets.map(secret => [fingerprintOf(secret), seal(Buffer.from(key, 'hex'), secret)]))
}

/** `value` is from the network or the disk. null: it holds no key that one of these secrets opens. */
export function openSessionKey(value: unknown, secrets: readonly string[]): string | null {
  if (typeof value !== 'object' || value === null || Object.keys(value).length > MOST_SEALED) return null
  for (const secret of secrets) {
    const fingerprint = fingerprintOf(secret)
    const sealed: unknown = Object.hasOwn(value, fingerprint) ? (value as Record<string, unknown>)[fingerprint] : undefined
    const key = typeof sealed === 'string' && SEALED.test(sealed) ? open(Buffer.from(sealed, 'base64url'), secret) : null
    if (key !== null) return key.toString('hex')
  }
  return null
}

function seal(key: Buffer, secret: string): string {
  const under = sealingKey(secret)
  // Derived from what is sealed: the same pair of key and nonce never seals two texts.
  const iv = createHmac('sha256', under).update(key).digest().subarray(0, IV_BYTES)
  const cipher = createCipheriv(ALGORITHM, under, iv)
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

/** One-way, and of no use for any other purpose. */
function fingerprintOf(secret: string): string {
  return Buffer.from(hkdfSync('sha256', secret, 'skein', 'skein session key fingerprint v1', 8)).toString('hex')
}
