// Channels between Skein's own processes: TLS 1.3 with a pre-shared key derived from the cluster secret. There are no certificates,
// both sides prove that they hold the secret, and the ephemeral (EC)DHE exchange protects recorded traffic if the secret leaks later.
// Used by the agent (util/agent-channel.ts) and by the relay between replicas (proxy/relay/). While a secret is being changed several
// keys are valid: the client's identity selects the key. Specification: RFC 8446 sections 2.2 and 4.2.11, RFC 9258 (external keys are
// bound to SHA-256 here), RFC 5869 (HKDF).

import { hkdfSync, randomBytes } from 'node:crypto'
import type { ConnectionOptions, PeerCertificate, TLSSocket, TlsOptions } from 'node:tls'

const KEY_BYTES = 32
const FINGERPRINT_BYTES = 8

/** RFC 8446 section 4.2.11 binds an external pre-shared key without a hash to SHA-256, so only suites with that hash can use it. */
const CIPHERS = 'TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256'

/** Settings that both sides share; a secure context created from them can serve many connections. */
export const PSK_CONTEXT = { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3', ciphers: CIPHERS } as const

/**
 * 32 bytes derived from the cluster secret for one protocol: the secret itself never enters a handshake, and the key of one protocol
 * does not open another. `protocol` is a name with a version, such as `skein-agent/1`.
 */
export function pskKey(secret: string, protocol: string): Buffer {
  return derive(Buffer.from(secret, 'utf8'), protocol, KEY_BYTES)
}

/** The client's PSK identity: the protocol and a one-way fingerprint of its key, by which the server selects the key. */
export function pskIdentity(key: Buffer, protocol: string): string {
  return `${protocol} ${derive(key, `${protocol} fingerprint`, FINGERPRINT_BYTES).toString('hex')}`
}

/**
 * Options of a TLS server that accepts any of these keys. It has no certificate, so no handshake completes without one of the keys.
 * `onUnknownIdentity` is called for clients whose identity matches no key.
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
      // A random key: a client of this protocol with another secret gets the alert decrypt_error, the same as one that guesses an
      // identity.
      return identity.startsWith(`${protocol} `) ? randomBytes(KEY_BYTES) : null
    },
  }
}

/** Options of a client connection to such a server; it fails unless the server holds the same key. */
export function pskClientOptions(key: Buffer, protocol: string): ConnectionOptions {
  const answer = { psk: key, identity: pskIdentity(key, protocol) }
  return {
    ...PSK_CONTEXT,
    // No authority is trusted: a server that presents a certificate instead of the key is an impostor, even if the certificate is
    // valid.
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
