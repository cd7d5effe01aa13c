// How long an exchange may wait for its client or its server: the options' limits, or those of its service's labels
// (skein.timeout.*). A limit of 0 is none, given here as Infinity: a deadline at Infinity never comes.

import type { DataPlaneOptions } from '../../options/options.ts'
import type { Exchange } from './exchange.ts'

type Timeouts = DataPlaneOptions['timeouts']

/** Added to the limits of a relayed request, ms: the replica that has the client reaches its limit first, and logs the client. */
const RELAYED_GRACE_MS = 5000

/** From the request sent to the whole head of the answer, ms. */
export function responseHeaderMs(x: Exchange, timeouts: Timeouts): number {
  return limitOf(x.service?.config.timeouts.responseHeaderMs ?? timeouts.responseHeaderMs)
}

/** How long a side may take nothing of what waits for it, or send nothing of a request's body that is waited for, ms. */
export function stallMs(x: Exchange, timeouts: Timeouts): number {
  const ms = limitOf(x.service?.config.timeouts.stallMs ?? timeouts.stallMs)
  return x.fromPeer ? ms + RELAYED_GRACE_MS : ms
}

/** ms; 0 means none. */
export function limitOf(ms: number): number {
  return ms === 0 ? Number.POSITIVE_INFINITY : ms
}

/** The option and the label of each limit, for the log. */
export const RESPONSE_HEADER_LIMIT = '--response-header-timeout, label skein.timeout.responseHeader'
export const STALL_LIMIT = '--stall-timeout, label skein.timeout.stall'
export const TUNNEL_IDLE_LIMIT = '--tunnel-idle-timeout'
