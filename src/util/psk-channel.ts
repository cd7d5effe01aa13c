// Channels between Skein's own processes: TLS 1.3 with a pre-shared key derived from the cluster secret. No certificates, both
// sides prove the secret, and an ephemeral (EC)DHE exchange keeps recorded traffic safe if the secret leaks later. Used by the
// agent (src/util/agent-channel.ts) and by the relay between replicas (src/proxy/relay/). While a secret is being changed several keys
// are valid: the identity a client names says which one it holds. Spec: RFC 8446 sections 2.2 and 4.2.11, RFC 9258 (external keys
// are bound to SHA-256 here), RFC 5869 (HKDF).

import { hkdfSync, randomBytes } from 'node:crypto'
import type { ConnectionOptions, PeerCertificate, TLSSocket, TlsOptions } from 'node:tls'

const KEY_BYTES = 32
const FINGERPRINT_BYTES = 8

/** An external pre-shared key has no hash of its own: RFC 8446 fixes it to SHA-256, so only suites with that hash can use it. */
const CIPHERS = 'TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256'

/** What both sides agree on; a context made of it once serves many connections. */
export const PSK_CONTEXT = { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3', ciphers: CIPHERS } as const

/**
 * 32 bytes derived from the cluster secret for one protocol alone: the secret itself never enters a handshake, and the key of one
 * protocol opens no other. `protocol` names it with its version, e.g. `skein-agent/1`.
 */
export function pskKey(secret: string, protocol: string): Buffer {
  return derive(Buffer.from(secret, 'utf8'), protocol, KEY_BYTES)
}

/** What a client names itself by: the protocol and a fingerprint of its key (one-way), so that the server finds the right one. */
export function pskIdentity(key: Buffer, protocol: string): string {
  return `${protocol} ${derive(key, `${protocol} fingerprint`, FINGERPRINT_BYTES).toString('hex')}`
}

/**
 * Options of a TLS server that takes any of these keys. It has no certificate, so a client without one of them cannot finish any
 * handshake. `onUnknownIdentity` hears of clients whose identity fits none of them.
 */
export function pskServerOptions(
  keys: readonly Buffer[],
  protocol: string,
  onUnknownIdentity: (socket: TLSSocket) => void = () => {},
): TlsOptions {
  const known = new Map(keys.map(key => [pskIdentity(key, protocol), key]))
  return {
    ...PSK_CONTEXT,
    pskCallback(socket, identity) {
      const key = known.get(identity)
      if (key !== undefined) return key
      onUnknownIdentity(socket)
      // A key that nobody has: who speaks the protocol hears that his secret is another one (alert decrypt_error), as he would
      // with a guessed identity.
      return identity.startsWith(`${protocol} `) ? randomBytes(KEY_BYTES) : null
    },
  }
}

/** Options of a connection to such a server; it errors when the other side does not hold the same key. */
export function pskClientOptions(key: Buffer, protocol: string): ConnectionOptions {
  const answer = { psk: key, identity: pskIdentity(key, protocol) }
  return {
    ...PSK_CONTEXT,
    // No authority is trusted: a server that answers with a certificate instead of the key is an impostor, however valid the
    // certificate.
    ca: [],
    checkServerIdentity: refuseCertificates,
    pskCallback: () => answer,
  }
}

function derive(input: Buffer, info: string, bytes: number): Buffer {
  return Buffer.from(hkdfSync('sha256', input, Buffer.from('skein'), Buffer.from(info), bytes))
}

function refuseCertificates(_host: string, certificate: PeerCertificate): Error | undefined {
  return certificate && Object.keys(certificate).length > 0
    ? new Error('the peer showed a certificate instead of the cluster secret')
    : undefined
}
