// Server connections that serve one client connection only, because one side used an authentication scheme that authenticates a
// connection (http1/connection-auth.ts). Such a connection never goes back to the pool. Requests of its client connection for the
// same service go to it, whatever the balancer would choose, and are not sent again elsewhere. When one of the two connections
// closes, so does the other: a client whose handshake is lost must see that. HAProxy calls them private, too (http-reuse).

import type { Exchange } from '../forward/exchange.ts'
import type { UpstreamConnection } from '../http1/upstream-connection.ts'
import type { LiveServer } from './connection-pool.ts'

export class PrivateConnections {
  private readonly limit: number
  /** Connections without a request, the one idle longest first. */
  private readonly idle = new Set<UpstreamConnection>()

  /** `limit`: idle connections kept in this worker. */
  constructor(limit: number) {
    this.limit = limit
  }

  /** The connection that the exchange's next request goes to; null if its client has none for the service. */
  take(x: Exchange): UpstreamConnection | null {
    for (const c of x.privates!) {
      if (c.privateFor !== x.service) continue
      this.idle.delete(c)
      return c
    }
    return null
  }

  /** From here on `c`, which has the current request of `x`, is private to its client. */
  claim(c: UpstreamConnection, x: Exchange): void {
    if (c.owner !== null) return
    c.owner = x
    c.privateFor = x.service
    if (x.privates === null) x.privates = [c]
    else x.privates.push(c)
  }

  /** Its request is over. Beyond the limit the one idle longest is closed. */
  keep(c: UpstreamConnection): void {
    this.idle.add(c)
    if (this.idle.size <= this.limit) return
    for (const oldest of this.idle) {
      oldest.owner?.downstream.onPrivateLimit(this.limit)
      oldest.destroy()
      return
    }
  }

  /** It has closed: the client connection ends as well. */
  closed(c: UpstreamConnection): void {
    const x = c.owner
    if (x === null) return
    this.detach(c)
    x.downstream.endConnection()
  }

  /** The connection has become a tunnel, and is no longer private. */
  detach(c: UpstreamConnection): void {
    const x = c.owner
    this.idle.delete(c)
    c.owner = null
    c.privateFor = null
    if (x?.privates == null) return
    const left = x.privates.filter(other => other !== c)
    x.privates = left.length === 0 ? null : left
  }

  /** The client connection takes no further request. */
  release(x: Exchange): void {
    const all = x.privates
    x.privates = null
    if (all === null) return
    for (const c of all) {
      this.idle.delete(c)
      c.owner = null
      // A connection with a request under way ends with it: see the forwarder's abort().
      if (c.x === null) c.destroy()
      else c.reusable = false
    }
  }

  /** Closes idle connections to a server that refuses connections: requests on them would not be answered either. */
  closeIdle(server: LiveServer): void {
    for (const c of [...this.idle]) if (c.server === server) c.destroy()
  }
}
