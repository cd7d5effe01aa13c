// The learned session of an exchange. The key is read once (balancing/choose-server.ts); entry and binding are those of the last choice
// of a server. Written by balancing/ and sessions/; the forwarder restores `binds` after a choice that it does not use.

import type { UpstreamServer } from '../upstream/upstream-server.ts'

/** The key was not read yet, the request has no session, the key is in `high` and `low`. */
export type SessionState = 0 | 1 | 2
export const SESSION_UNREAD = 0
export const SESSION_NONE = 1
export const SESSION_FOUND = 2

export class ExchangeSession {
  state: SessionState = SESSION_UNREAD
  /** Signed halves of the key's hash. */
  high = 0
  low = 0
  /** Entry in the session table; -1: none. */
  entry = -1
  /** The chosen server becomes the session's server when it responds. */
  binds = false
  /** The request was counted as a use of its session. */
  noted = false
  /** The server of the session, by cookie or learned, if this request does not use it: it is ejected, or has just failed. */
  affinityUnavailable: UpstreamServer | null = null

  reset(): void {
    this.state = SESSION_UNREAD
    this.entry = -1
    this.binds = false
    this.noted = false
    this.affinityUnavailable = null
  }
}
