// Why a dial has failed, as far as people need to know: nobody there, somebody who hung up on us, or this member itself. Pure.

export interface DialFailure {
  /**
   * `refused`: a connection was made, and the other side ended it during the handshake. `barred`: this member bars the address
   * for a while. `foreign`: what answers is no member at all; the message says what it does. `other`: the peer belongs to another
   * cluster that has the same secret.
   */
  readonly kind: 'unreachable' | 'refused' | 'self' | 'barred' | 'foreign' | 'other'
  readonly message: string
}

/** A handshake that took longer than this failed for slowness, whatever the error says. */
const SLOW_MS = 1_500

/** @param tookMs from the dial to its failure */
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
