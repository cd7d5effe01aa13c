// The pre-shared key of the relay channel between replicas.

import { pskKey } from '../../util/psk-channel.ts'

/** Name and version of the protocol, including the format of relayed requests. Part of the key derivation. */
export const RELAY_PROTOCOL = 'skein-relay/1'

/** Derives an entry of `DataPlaneOptions.relay.keys` from a cluster secret: 64 hexadecimal digits. */
export function relayKey(secret: string): string {
  return pskKey(secret, RELAY_PROTOCOL).toString('hex')
}
