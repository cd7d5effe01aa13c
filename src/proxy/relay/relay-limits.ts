// Limits of what replicas send each other: what a client may send must still fit when the sender has put its own fields to it.

import type { DataPlaneOptions } from '../../options/options.ts'

type Limits = DataPlaneOptions['limits']

/** X-Forwarded-* (which repeat Host and address), Skein-Relay, Set-Cookie. */
const MORE_BYTES = 8192
const MORE_FIELDS = 16

/** `limits` are those towards clients and servers. */
export function relayedLimits(limits: Limits): Limits {
  return {
    ...limits,
    headerBytes: limits.headerBytes + MORE_BYTES,
    headerCount: limits.headerCount + MORE_FIELDS,
    // A middleware may have made the path longer.
    uriBytes: limits.uriBytes + MORE_BYTES,
  }
}
