// Derives the key that hashes sessions (sticky cookies, learned sessions) from a cluster secret. Pure.

import { hkdfSync } from 'node:crypto'

/** 64 hexadecimal digits. The secret cannot be recovered from them (HKDF, RFC 5869). */
export function deriveSessionKey(secret: string): string {
  return Buffer.from(hkdfSync('sha256', secret, '', 'skein sticky cookie v1', 32)).toString('hex')
}
