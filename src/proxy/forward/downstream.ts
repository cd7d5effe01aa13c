// The client's side of an exchange, without the protocol: what the forwarder and upstream codecs call. A codec implements it once per
// client connection (HTTP/1: http1/client-connection.ts). A connection may carry several exchanges at a time.

import type { FieldList } from '../message/field-list.ts'
import type { Framing } from '../message/framing.ts'
import type { Head } from '../message/head.ts'
import type { UpstreamStream } from '../upstream/upstream-stream.ts'
import type { Exchange } from './exchange.ts'

export interface Downstream {
  /** HTTP/1 only: the response body is passed in chunked coding as received. False: bodies are content. */
  readonly takesChunked: boolean
  /** Server streams that serve this client connection only; null: none. Written by PrivateStreams. */
  privateStreams: UpstreamStream[] | null

  // ---- response ----

  /** An interim (1xx) head. */
  onInterim(x: Exchange, head: Head): void
  /**
   * The final head. onBody calls follow, then onTrailers if there are any, then onEnd, with onResponseEnd before it where the
   * request's body takes longer. The head may be buffered until the next call, which follows in the same turn.
   */
  onHead(x: Exchange, head: Head, framing: Framing): void
  /** What arrived with the head has been passed: the head must leave now. @returns as onBody */
  onFlush(x: Exchange): boolean
  /** Body bytes `from`..`to` of a buffer that is valid during the call. @returns false to pause; Forwarder.resumeResponse continues */
  onBody(x: Exchange, buffer: Buffer, from: number, to: number): boolean
  /** The trailer section, where the body is passed as content. No onBody call follows. */
  onTrailers(x: Exchange, trailers: FieldList): void
  /** The exchange is over. */
  onEnd(x: Exchange): void
  /** The response is complete, while the request's body is still being sent; onEnd follows. */
  onResponseEnd(x: Exchange): void
  /**
   * The server has switched protocols: from here both sides are raw, unless Forwarder.tunnelOpened returns false. `rest`: bytes that
   * arrived after the head.
   */
  onTunnel(x: Exchange, head: Head, stream: UpstreamStream, rest: Buffer): void
  /** The response ends before it is complete, and must look so to the client. `why` is for the log. */
  onBroken(x: Exchange, why: string): void
  /** No response will come from a server: the codec sends a local reply with this status. `why` is for the log. */
  onFailed(x: Exchange, status: number, why: string): void

  // ---- request ----

  /** Admission went on after a middleware had waited: ADMITTED, or the status of a local reply (routing/admission.ts). */
  onAdmission(x: Exchange, status: number): void

  /** Stop passing the request's body. */
  pauseBody(x: Exchange): void
  /** Continue passing the request's body. */
  resumeBody(x: Exchange): void
  /** The X-Forwarded fields for the server. */
  forwardedFields(x: Exchange): FieldList
  /** A request that a peer relayed is being sent to a server: confirm it to the peer. */
  onSentToServer(x: Exchange): void

  // ---- connection ----

  /** A private stream has closed: the client connection ends, after the response in progress if there is one. */
  endConnection(): void
  /** A private stream was closed because more than `limit` are idle; endConnection follows. */
  onPrivateLimit(limit: number): void
  /** A private stream closed before the first byte of a response: end without one, as the server did. */
  onUnanswered(x: Exchange, why: string): void
}
