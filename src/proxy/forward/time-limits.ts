// How long an exchange may wait for its client or its server: the limits of the options, or those of the service's labels
// (skein.timeout.*). A limit of 0 means none and is returned as Infinity, which as a deadline never comes.

import type { DataPlaneOptions } from '../../options/options.ts'
import type { Exchange } from './exchange.ts'

type Timeouts = DataPlaneOptions['timeouts']

/** Added to the limits of a request from a peer, ms: the client's replica reaches its limit first, and logs the client. */
const RELAYED_GRACE_MS = 5000

/** Time from the request sent to the complete response head, ms. */
export function responseHeaderMs(x: Exchange, timeouts: Timeouts): number {
  return limitOf(x.service?.config.timeouts.responseHeaderMs ?? timeouts.responseHeaderMs)
}

/** Time in which a peer may read none of the pending output, or send none of an expected request body, ms. */
export function stallMs(x: Exchange, timeouts: Timeouts): number {
  const ms = limitOf(x.service?.config.timeouts.stallMs ?? timeouts.stallMs)
  return x.fromPeer ? ms + RELAYED_GRACE_MS : ms
}

/** Converts a limit in ms, where 0 means none. */
export function limitOf(ms: number): number {
  return ms === 0 ? Number.POSITIVE_INFINITY : ms
}

/** Option and label of each limit, for log messages. */
export const RESPONSE_HEADER_LIMIT = '--response-header-timeout, label skein.timeout.responseHeader'
export const STALL_LIMIT = '--stall-timeout, label skein.timeout.stall'
export const TUNNEL_IDLE_LIMIT = '--tunnel-idle-timeout'
