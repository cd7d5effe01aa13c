// The encrypted channel between a replica and an agent: TLS 1.3 with a pre-shared key derived from the cluster secret. No
// certificates, both sides prove the secret, and an ephemeral (EC)DHE exchange keeps recorded traffic safe if the secret leaks
// later. Spec: RFC 8446 sections 2.2 and 4.2.11, RFC 9258 (external keys are bound to SHA-256 here), RFC 5869 (HKDF).

import { hkdfSync } from 'node:crypto'
import type { Duplex } from 'node:stream'
import { type ConnectionOptions, connect, type PeerCertificate, type TLSSocket, type TlsOptions } from 'node:tls'

/** Names the protocol and its version; a change of the channel or of the key derivation takes a new one. */
export const AGENT_IDENTITY = 'skein-agent/1'

/** An external pre-shared key has no hash of its own: RFC 8446 fixes it to SHA-256, so only suites with that hash can use it. */
const CIPHERS = 'TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256'

/** 32 bytes derived from the cluster secret for this channel alone: the secret itself never enters a handshake. */
export function agentKey(secret: string): Buffer {
  return Buffer.from(hkdfSync('sha256', Buffer.from(secret, 'utf8'), Buffer.from('skein'), Buffer.from(AGENT_IDENTITY), 32))
}

/** Options of the agent's TLS server. It has no certificate, so a client without the key cannot finish any handshake. */
export function serverChannelOptions(key: Buffer): TlsOptions {
  return {
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    ciphers: CIPHERS,
    ALPNProtocols: ['http/1.1'],
    pskCallback: (_socket, identity) => (identity === AGENT_IDENTITY ? key : null),
  }
}

/** Opens a channel; the socket errors when the other side does not hold the same key. */
export function connectChannel(
  key: Buffer,
  to: { readonly host: string; readonly port: number } | { readonly socket: Duplex },
): TLSSocket {
  const options: ConnectionOptions = {
    ...to,
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    ciphers: CIPHERS,
    ALPNProtocols: ['http/1.1'],
    // No authority is trusted: a server that answers with a certificate instead of the key is an impostor, however valid the
    // certificate.
    ca: [],
    checkServerIdentity: refuseCertificates,
    pskCallback: () => ({ psk: key, identity: AGENT_IDENTITY }),
  }
  return connect(options)
}

function refuseCertificates(_host: string, certificate: PeerCertificate): Error | undefined {
  return certificate && Object.keys(certificate).length > 0
    ? new Error('the peer showed a certificate instead of the cluster secret')
    : undefined
}
