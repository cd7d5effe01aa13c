// The attempts of an exchange at servers and peers: the current one, and the history that decides whether there may be another. Written
// by forwarder.ts, retries.ts and failover.ts.

import type { UpstreamServer } from '../upstream/upstream-server.ts'
import type { UpstreamStream } from '../upstream/upstream-stream.ts'

export class Attempt {
  server: UpstreamServer | null = null
  stream: UpstreamStream | null = null
  /** Attempts so far; starts again after a wait for a server. */
  count = 0
  /** Servers and peers that failed; null until the first failure. */
  tried: UpstreamServer[] | null = null
  /** Connects that timed out or found no route. */
  failedConnects = 0
  /** Times the request was written to a server. Bounded, so that a request that crashes servers does not reach many. */
  sends = 0
  /** Part of the request was written to the current server, at `sentMs` (performance.now()). */
  sent = false
  sentMs = 0
  /** Sent on a private stream: it is not sent again. */
  isPrivate = false
  /** Name of the current peer; '' for a server. */
  relayPeer = ''
  /** The current peer has not confirmed that it sent the request to a server. */
  relayUnconfirmed = false
  /** The exchange has a place in the retry budget. */
  onBudget = false
  /** Why the last attempt failed, for the log. */
  lastProblem = ''
  /** The encoded request head, kept for another attempt; '' until built. Written by the codec. */
  wireHead = ''

  reset(): void {
    this.server = null
    this.stream = null
    this.count = 0
    this.tried = null
    this.failedConnects = 0
    this.sends = 0
    this.sent = false
    this.isPrivate = false
    this.relayPeer = ''
    this.relayUnconfirmed = false
    this.onBudget = false
    this.lastProblem = ''
    this.wireHead = ''
  }
}
