// Server streams that serve one client connection only, because one side used an authentication scheme that authenticates a connection
// (message/connection-auth.ts). Such a stream never enters the pool. Requests of its client connection for the same service use it,
// whatever the balancer would choose, and are not sent again elsewhere. When one of the two connections closes, so does the other: a
// client whose handshake is lost must notice. HAProxy calls such connections private as well (http-reuse).

import type { Downstream } from '../forward/downstream.ts'
import type { Exchange } from '../forward/exchange.ts'
import type { UpstreamServer } from './upstream-server.ts'
import type { UpstreamStream } from './upstream-stream.ts'

export class PrivateStreams {
  private readonly limit: number
  /** Streams without an exchange, the one idle longest first. */
  private readonly idle = new Set<UpstreamStream>()

  /** `limit`: idle streams kept in this worker. */
  constructor(limit: number) {
    this.limit = limit
  }

  /** The stream for the exchange's next request; null if its client connection has none for the service. */
  take(x: Exchange): UpstreamStream | null {
    for (const stream of x.downstream.privateStreams!) {
      if (stream.privateFor !== x.service || stream.x !== null) continue
      this.idle.delete(stream)
      return stream
    }
    return null
  }

  /** Makes `stream`, which carries `x`, private to the client connection of `x`. */
  claim(stream: UpstreamStream, x: Exchange): void {
    if (stream.owner !== null) return
    const owner = x.downstream
    stream.owner = owner
    stream.privateFor = x.service
    if (owner.privateStreams === null) owner.privateStreams = [stream]
    else owner.privateStreams.push(stream)
  }

  /** The stream is idle. Above the limit the one idle longest is closed. */
  keep(stream: UpstreamStream): void {
    this.idle.add(stream)
    if (this.idle.size <= this.limit) return
    for (const oldest of this.idle) {
      oldest.owner?.onPrivateLimit(this.limit)
      oldest.destroy()
      return
    }
  }

  /** The stream has closed: the client connection ends as well. */
  closed(stream: UpstreamStream): void {
    const { owner } = stream
    if (owner === null) return
    this.detach(stream)
    owner.endConnection()
  }

  /** The stream is no longer private: it has become a tunnel, or no server was asked on it. */
  detach(stream: UpstreamStream): void {
    const { owner } = stream
    this.idle.delete(stream)
    stream.owner = null
    stream.privateFor = null
    if (owner === null || owner.privateStreams === null) return
    const left = owner.privateStreams.filter(other => other !== stream)
    owner.privateStreams = left.length === 0 ? null : left
  }

  /** The client connection accepts no further request. */
  release(owner: Downstream): void {
    const all = owner.privateStreams
    owner.privateStreams = null
    if (all === null) return
    for (const stream of all) {
      this.idle.delete(stream)
      stream.owner = null
      // A stream that carries an exchange ends with it: see Forwarder.abort().
      if (stream.x === null) stream.destroy()
      else stream.reusable = false
    }
  }

  /** Closes idle streams to a server that refuses connections: requests on them would not be answered either. */
  closeIdle(server: UpstreamServer): void {
    for (const stream of [...this.idle]) if (stream.server === server) stream.destroy()
  }
}
