// Classifies the cause of a failed dial (DialFailure.kind) by its error and its duration. Pure.

export interface DialFailure {
  /**
   * `refused`: the peer ended the connection during the handshake. `barred`: this member blocks the peer for a while.
   * `foreign`: the process that answers is not a member; the message says why. `other`: the peer belongs to another cluster
   * that has the same secret.
   */
  readonly kind: 'unreachable' | 'refused' | 'self' | 'barred' | 'foreign' | 'other'
  readonly message: string
}

/** A handshake that took longer failed because of its duration, whatever the error says, ms. */
const SLOW_MS = 1_500

/** @param tookMs time from the dial to its failure */
export function describeDialFailure(error: unknown, tookMs: number): DialFailure {
  const first = error instanceof AggregateError ? error.errors[0] : error
  const { name, message } = first instanceof Error ? first : { name: '', message: String(first) }
  if (name === 'InvalidPeerIdError') return { kind: 'self', message }
  if (name === 'ConnectionInterceptedError') return { kind: 'barred', message }
  if (name === 'OtherClusterError') return { kind: 'other', message }
  if (name === 'NotAMemberError') return { kind: 'foreign', message }
  const unreachable =
    tookMs > SLOW_MS || /^connection error|^Connection timeout/.test(message) || /^(Abort|Timeout|NotStarted)Error$/.test(name)
  return { kind: unreachable ? 'unreachable' : 'refused', message }
}
