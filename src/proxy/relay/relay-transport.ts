// Reaches a peer: HTTP/1.1 over streams of a few TLS connections (mux.ts). Requests carry the Skein-Relay field, and the peer confirms
// that it has sent them to a server or declines them.

import { type ConnectionOptions, connect, createSecureContext } from 'node:tls'
import type { DataPlaneOptions } from '../../options/options.ts'
import { PSK_CONTEXT, pskClientOptions } from '../../util/psk-channel.ts'
import type { Sweep } from '../forward/deadlines.ts'
import type { Exchange } from '../forward/exchange.ts'
import { Http1Transport } from '../http1/http1-transport.ts'
import type { Http1Settings } from '../http1/upstream-connection.ts'
import { requestHead } from '../http1/write-head.ts'
import { relayFields } from '../message/relay-field.ts'
import type { PeerTransport, PeerTransportFactory } from '../peers/relay-peer.ts'
import type { UpstreamServer } from '../upstream/upstream-server.ts'
import { Mux } from './mux.ts'
import type { MuxStream } from './mux-stream.ts'
import { RELAY_PROTOCOL } from './relay-key.ts'
import { relayedLimits } from './relay-limits.ts'

/**
 * Connections per peer, and streams per connection above which another one is opened, so that several workers of the peer share the
 * load.
 */
const MAX_CONNECTIONS = 4
const STREAMS_BEFORE_NEXT = 32
const KEEP_ALIVE_MS = 10_000

export class RelayTransport extends Http1Transport implements PeerTransport {
  /** Peers run Skein, which sends none of the faults of old servers. */
  readonly lenient = false
  private readonly channel: ConnectionOptions
  private muxes: Mux[] = []

  /** `channel`: the TLS options with the cluster's key. */
  constructor(server: UpstreamServer, settings: Http1Settings, channel: ConnectionOptions) {
    super(server, settings)
    this.channel = channel
  }

  get connected(): boolean {
    for (const mux of this.muxes) if (mux.connected && !mux.leaving) return true
    return false
  }

  get hasConnection(): boolean {
    return this.muxes.length > 0
  }

  requestHead(x: Exchange): string {
    const host = x.serverHost ? 'server' : x.sendHost === null && x.req.hostField < 0 ? 'none' : 'client'
    return requestHead(x, x.downstream.forwardedFields(x), relayFields(x.service!.relayName, host))
  }

  dial(): MuxStream {
    let best: Mux | null = null
    for (const mux of this.muxes) {
      if (!mux.leaving && (best === null || mux.streams.size < best.streams.size)) best = mux
    }
    const few = this.muxes.length < MAX_CONNECTIONS
    if (best === null || (few && best.connected && best.streams.size >= STREAMS_BEFORE_NEXT)) best = this.connect()
    return best.open()
  }

  /** Closes idle streams. Connections close after their last stream. */
  override closeIdle(): void {
    super.closeIdle()
    for (const mux of [...this.muxes]) mux.leave()
  }

  abortConnects(): void {
    for (const mux of [...this.muxes]) if (!mux.connected) mux.destroy('timeout')
  }

  destroy(): void {
    for (const mux of [...this.muxes]) mux.destroy('closed')
  }

  private connect(): Mux {
    const { host, port } = this.server
    const socket = connect({ ...this.channel, host, port })
    socket.setNoDelay(true)
    socket.setKeepAlive(true, KEEP_ALIVE_MS)
    const mux = new Mux(socket, false, this.settings.idleMs, {
      onStream: null,
      onLeave: () => this.closeIdle(),
      onGone: gone => {
        this.muxes = this.muxes.filter(other => other !== gone)
      },
    })
    this.muxes.push(mux)
    return mux
  }
}

/** The transports of all peers in a worker; null for a replica without a cluster. */
export function relayTransports(options: DataPlaneOptions, sweep: Sweep): PeerTransportFactory | null {
  const { limits, relay, timeouts } = options
  const [key] = relay.keys
  if (key === undefined) return null
  const settings = { sweep, limits: relayedLimits(limits), connectMs: timeouts.connectMs, idleMs: timeouts.upstreamIdleMs }
  const channel = {
    ...pskClientOptions(Buffer.from(key, 'hex'), RELAY_PROTOCOL),
    // Shared by all connections: creating a context costs more than a handshake.
    secureContext: createSecureContext({ ...PSK_CONTEXT, ca: [] }),
  }
  return peer => new RelayTransport(peer, settings, channel)
}
