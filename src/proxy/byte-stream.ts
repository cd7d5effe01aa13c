// The transport below a codec: a TCP or TLS socket, or a stream of the relay mux (relay/mux-stream.ts). The part of net.Socket that
// the data plane uses.

export interface ByteStream {
  on(event: 'data', listener: (chunk: Buffer) => void): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
  /** `finish`: everything was written, after end(). There is no 'drain' after end(). */
  on(event: 'connect' | 'secureConnect' | 'drain' | 'finish' | 'end' | 'close', listener: () => void): unknown
  removeAllListeners(event: string): unknown
  /** Strings are latin1. Returns false if the buffer is full; 'drain' follows. */
  write(data: string | Buffer, encoding?: 'latin1'): boolean
  end(): unknown
  destroy(): unknown
  /** Closes so that the peer cannot take it for a regular end. */
  resetAndDestroy(): unknown
  pause(): unknown
  resume(): unknown
  cork(): void
  uncork(): void
  readonly writable: boolean
  readonly writableLength: number
  readonly writableNeedDrain: boolean
  readonly readableEnded: boolean
}

/**
 * Closes a stream at once so that the peer does not take the written bytes for a complete message. This needs a reset: a FIN is the
 * regular end of a body without a length (RFC 9112, 6.3) and of one direction of a tunnel. If everything including the end was
 * written, no reset is sent, since it could discard bytes still in transit.
 */
export function resetStream(stream: ByteStream): void {
  // node:net cannot reset a TLS socket. A TLS stream that ends without close_notify counts as truncated for the peer.
  if ((stream.writable || stream.writableLength > 0) && !('encrypted' in stream)) stream.resetAndDestroy()
  else stream.destroy()
}
