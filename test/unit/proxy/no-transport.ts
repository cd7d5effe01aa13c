// Transports for tests that send nothing.

import type { PeerTransport } from '../../../src/proxy/peers/relay-peer.ts'
import { probeConnect } from '../../../src/proxy/upstream/probe.ts'
import type { UpstreamServer } from '../../../src/proxy/upstream/upstream-server.ts'

/** Opens no stream. Probes connect by TCP. */
export function noTransport(server: UpstreamServer): PeerTransport {
  return {
    connected: false,
    hasConnection: false,
    take: () => null,
    open() {
      throw new Error('this test opens no stream')
    },
    probe: (timeoutMs, done) => probeConnect(server.host, server.port, timeoutMs, done),
    closeIdle() {},
    abortConnects() {},
    destroy() {},
  }
}
