// Size limits of relayed messages: those of clients and servers plus room for the fields that the sending replica adds.

import type { DataPlaneOptions } from '../../options/options.ts'

type Limits = DataPlaneOptions['limits']

/** For X-Forwarded-* (which repeat Host and address), Skein-Relay and Set-Cookie. */
const EXTRA_BYTES = 8192
const EXTRA_FIELDS = 16

/** `limits`: those of clients and servers. */
export function relayedLimits(limits: Limits): Limits {
  return {
    ...limits,
    headerBytes: limits.headerBytes + EXTRA_BYTES,
    headerCount: limits.headerCount + EXTRA_FIELDS,
    // A middleware may have lengthened the path.
    uriBytes: limits.uriBytes + EXTRA_BYTES,
  }
}
