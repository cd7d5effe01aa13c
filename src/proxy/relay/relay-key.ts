// The key of the channel between replicas that relay for one another.

import { pskKey } from '../../util/psk-channel.ts'

/** Names the protocol and its version; what a relayed request looks like on the wire is part of it. */
export const RELAY_PROTOCOL = 'skein-relay/1'

/** What `DataPlaneOptions.relay.keys` holds, derived from one cluster secret: 64 hexadecimal digits. */
export function relayKey(secret: string): string {
  return pskKey(secret, RELAY_PROTOCOL).toString('hex')
}
