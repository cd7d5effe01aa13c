// Why a dial has failed, as far as people need to know: nobody there, somebody who hung up on us, or this member itself. Pure.

export interface DialFailure {
  /** `refused`: there was a connection, and the other side ended it during the handshake. */
  readonly kind: 'unreachable' | 'refused' | 'self' | 'barred'
  readonly message: string
}

export function describeDialFailure(error: unknown): DialFailure {
  const first = error instanceof AggregateError ? error.errors[0] : error
  const { name, message } = first instanceof Error ? first : { name: '', message: String(first) }
  if (name === 'InvalidPeerIdError') return { kind: 'self', message }
  if (name === 'ConnectionInterceptedError') return { kind: 'barred', message }
  if (/^connection error|^Connection timeout/.test(message) || /^(Abort|Timeout|NotStarted)Error$/.test(name)) {
    return { kind: 'unreachable', message }
  }
  return { kind: 'refused', message }
}
