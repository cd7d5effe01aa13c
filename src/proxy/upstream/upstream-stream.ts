// One request on its way to a server and its response, without the protocol: what the forwarder, retries and failover use. A codec
// extends UpstreamStream (HTTP/1: http1/upstream-connection.ts) and reports to UpstreamEvents what happened and, above all, what had
// been sent and received when it failed. A Transport opens the streams of one server.

import type { ByteStream } from '../byte-stream.ts'
import type { Timed } from '../forward/deadlines.ts'
import type { Downstream } from '../forward/downstream.ts'
import type { Exchange } from '../forward/exchange.ts'
import type { Framing } from '../message/framing.ts'
import { Head } from '../message/head.ts'
import type { RuntimeService } from '../runtime-service.ts'
import type { UpstreamServer } from './upstream-server.ts'

export const CONNECTING = 0
/** Kept for a later request. Owned by the transport, or by PrivateStreams. */
export const IDLE = 1
/** The request is written or being written; the final head has not arrived. */
export const WAITING = 2
export const READING = 3
/** The server has switched protocols; the stream is raw. */
export const TUNNEL = 4
export const CLOSED = 5
/** The response is complete; the request's body is still being sent. */
export const UPLOADING = 6
/** The request is over; what was written of it is flushed, then the stream closes. */
export const FLUSHING = 7
export type Phase = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7

/** Error code of a stream that the other side reset while the connection below it stays open: a mux, HTTP/2. */
export const STREAM_RESET = 'ERR_STREAM_RESET'

/** How a server is reached. One object per server and worker. */
export interface Transport {
  /** An idle stream that may carry this exchange, else null. */
  take(x: Exchange): UpstreamStream | null
  /** Opens a stream. It reports onConnected or onConnectFailed to `events`. */
  open(events: UpstreamEvents): UpstreamStream
  /** Finds out whether the server accepts connections. Calls `done` once: with '' or an error code ('timeout' after `timeoutMs`). */
  probe(timeoutMs: number, done: (code: string) => void): void
  /** Closes idle streams. Streams with an exchange continue. */
  closeIdle(): void
}

export type TransportFactory = (server: UpstreamServer) => Transport

/** What a stream reports to the forwarder. */
export interface UpstreamEvents {
  onConnected(stream: UpstreamStream): void
  /** Nothing was sent. */
  onConnectFailed(stream: UpstreamStream, code: string): void
  /** Failed before the final head. `why` is for the log; `protocol`: the server sent something that is no valid response. */
  onNoResponse(stream: UpstreamStream, why: string, protocol: boolean): void
  /** The other side has not processed the request: it may go elsewhere, whatever the method. */
  onDeclined(stream: UpstreamStream): void
  /** The final head is in `stream.res`. `framing` is that of the body that follows. */
  onResponse(stream: UpstreamStream, framing: Framing): void
  /** The response is complete. The stream may be recycled if it is `reusable`. */
  onComplete(stream: UpstreamStream): void
  /** A peer confirms that it has sent the request to a server. */
  onSentToServer(stream: UpstreamStream): void
  /** The server accepts more of the request's body. */
  onWritable(stream: UpstreamStream): void
  /** The server accepts no more of the request's body. What it has sent is still read, except in phase UPLOADING. */
  onSendFailed(stream: UpstreamStream): void
  /** Failed in phase UPLOADING: the response was complete. */
  onUploadEnded(stream: UpstreamStream): void
  /** Failed within the response body. `protocol`: what arrived is not the announced body. */
  onBroken(stream: UpstreamStream, why: string, protocol: boolean): void
  /** A private stream has closed. */
  onPrivateClosed(stream: UpstreamStream): void
  /** The deadline has passed in phase CONNECTING, WAITING, READING or UPLOADING. */
  onStreamDeadline(stream: UpstreamStream, nowMs: number): void
}

export abstract class UpstreamStream implements Timed {
  readonly server: UpstreamServer
  /** The last response head. */
  readonly res = new Head()
  deadline = 0
  sweepIndex = -1

  // Written by the codec.
  phase: Phase = CONNECTING
  /** Index of the server's address that it was opened to. */
  readonly address: number
  /** When it was opened, monotonic ms, and the deadline (Sweep.now) of its connect. */
  readonly openedMs = performance.now()
  readonly connectDeadline: number
  /** Responses so far; above 0 the stream is a reused one. */
  responses = 0
  /** At least one byte of the current response has arrived. */
  gotByte = false
  /** On a reused stream, bytes that are no response arrived in its place: they belong to the previous response. */
  outOfStep = false
  /** Error code of a failed write, after which nothing more can be sent; '' when none failed. */
  writeFailed = ''
  /** The response is not read because the client does not accept it as fast. */
  paused = false
  /** After the current response the stream can carry another request. */
  reusable = false

  // Written by the forwarder.
  x: Exchange | null = null
  /** When a connect in progress makes the server suspected (Sweep.now); 0: never. */
  suspectDeadline = 0
  /** In phase WAITING: when the request was complete, the deadline of the whole head, and of the next no-response probe. */
  awaitedSince = 0
  headDeadline = 0
  noResponseProbeAt = 0
  /** Response bytes that the client had been sent when the server was last seen to stop reading the body. */
  bytesOutAtStall = 0

  /** The client connection that it serves exclusively, and the service. Written by PrivateStreams. */
  owner: Downstream | null = null
  privateFor: RuntimeService | null = null
  /** Index among the active streams of the server. Written by UpstreamServer. */
  activeIndex = -1

  constructor(server: UpstreamServer, connectDeadline: number) {
    this.server = server
    this.address = server.address
    this.connectDeadline = connectDeadline
    this.deadline = connectDeadline
  }

  abstract onDeadline(nowMs: number): void
  /** Starts phase WAITING: sends the head and the buffered part of the body. @returns false if the server reads more slowly; onWritable follows */
  abstract send(x: Exchange): boolean
  /** Sends content of the body. @returns false as send() */
  abstract write(data: Buffer): boolean
  /** The body is complete, `x.body.trailers` included. @returns false as send() */
  abstract end(x: Exchange): boolean
  /** False while the server reads more slowly than is written. */
  abstract get writable(): boolean
  /** Written bytes that have not left. */
  abstract get unsentBytes(): number
  /** Continues reading a paused response. */
  abstract resume(): void
  /** Enters phase UPLOADING. */
  abstract continueUpload(): void
  /** Becomes idle, in the transport's pool unless it is private. @returns false if it was closed instead */
  abstract recycle(): boolean
  /** Closes once everything written has left, after `ms` at the latest. It has no exchange any more. */
  abstract closeAfterFlush(ms: number): void
  abstract destroy(): void
  /** Hands over the raw byte stream after a protocol switch. */
  abstract detach(): ByteStream
}
