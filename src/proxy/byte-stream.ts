// What HTTP/1.1 is spoken over: a socket, or a stream within a connection between replicas (relay/carrier.ts). The part of
// net.Socket that the data plane uses, and nothing else.

export interface ByteStream {
  on(event: 'data', listener: (chunk: Buffer) => void): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
  /** `finish`: after end(), everything has been written. There is no 'drain' after end(). */
  on(event: 'connect' | 'secureConnect' | 'drain' | 'finish' | 'end' | 'close', listener: () => void): unknown
  removeAllListeners(event: string): unknown
  /** Strings are latin1. False: more than is good waits; 'drain' follows. */
  write(data: string | Buffer, encoding?: 'latin1'): boolean
  end(): unknown
  destroy(): unknown
  /** Breaks it so that the other side cannot take it for a good end. */
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
 * Ends a stream at once so that the other side does not take what was written for complete: by a reset, since a FIN is the regular
 * end of a body without a length (HTTP/1.0, RFC 9112 6.3) and of a tunnel's direction. If everything and the end have been written,
 * nothing is missing: no reset is sent, since it could destroy bytes still under way.
 */
export function breakOff(stream: ByteStream): void {
  // node:net cannot reset a TLS socket. A TLS stream that ends without close_notify is cut off for the other side.
  if ((stream.writable || stream.writableLength > 0) && !('encrypted' in stream)) stream.resetAndDestroy()
  else stream.destroy()
}
