// Another member as this one sees it: its last heartbeat, its state in failure detection, and when each was observed. Written by
// membership.ts only.

import type { Heartbeat, MemberId, MemberState } from './state.ts'

export interface Peer {
  readonly id: MemberId
  /** The last heartbeat received. */
  heartbeat: Heartbeat
  state: MemberState
  /** When it entered that state, ms of this member's clock; so are all times here. */
  since: number
  firstHeartbeatAt: number
  lastHeartbeatAt: number
  /** It becomes suspect at this time unless another heartbeat arrives. */
  suspectAt: number
  /** Why it is suspect: its last connection closed, or heartbeats are missing. */
  reason: 'closed' | 'silent'
  /** When its last connection closed. */
  disconnectedAt: number
  /** It has sent `leave`. Messages that arrive later were sent earlier. */
  left: boolean
  /**
   * Set when it is gone because a newer process has its name: when the first heartbeat after that arrived (-Infinity: none yet).
   * A single late heartbeat does not bring it back. Otherwise null.
   */
  firstLateAt: number | null
  /** Log lines about its transitions since `transitionLogsSince`. */
  transitionLogs: number
  transitionLogsSince: number
}

/** True for alive and draining: such a member counts towards the quorum and may be asked for bodies. */
export function isUp(peer: Peer | undefined): peer is Peer {
  return peer !== undefined && (peer.state === 'alive' || peer.state === 'draining')
}
