// The encrypted channel between a replica and an agent: psk-channel.ts with a key of its own, carrying HTTP/1.1.

import type { Duplex } from 'node:stream'
import { connect, type TLSSocket, type TlsOptions } from 'node:tls'
import { pskClientOptions, pskKey, pskServerOptions } from './psk-channel.ts'

/** Name and version of the protocol; a change of the channel or of the key derivation takes a new version. */
export const AGENT_IDENTITY = 'skein-agent/1'

const ALPNProtocols = ['http/1.1']

/** 32 bytes derived from the cluster secret for this channel: the secret itself never enters a handshake. */
export function agentKey(secret: string): Buffer {
  return pskKey(secret, AGENT_IDENTITY)
}

/** Options of the agent's TLS server, for one key or for all valid keys. */
export function serverChannelOptions(keys: Buffer | readonly Buffer[]): TlsOptions {
  return { ...pskServerOptions('byteLength' in keys ? [keys] : keys, AGENT_IDENTITY), ALPNProtocols }
}

/** Opens a channel; the socket fails unless the other side holds the same key. */
export function connectChannel(
  key: Buffer,
  to: { readonly host: string; readonly port: number } | { readonly socket: Duplex },
): TLSSocket {
  return connect({ ...pskClientOptions(key, AGENT_IDENTITY), ...to, ALPNProtocols })
}
