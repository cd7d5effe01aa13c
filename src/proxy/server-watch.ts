// What this worker's traffic tells about servers: failures eject one (ejection.ts), a connect of ours lets it in again, and a
// connect finds out whether a silent one is slow or gone (design 8). Other workers are told.

import { dueForProbe, noteFailure, noteProbe, noteProbeStarted } from './balancing/ejection.ts'
import type { LiveServer } from './live-server.ts'
import { probeConnect } from './probe.ts'
import { STREAM_RESET } from './relay/frames.ts'
import type { FailureCause } from './upstream-server.ts'

export interface WatchHost {
  /** A server fell out or came back by what was seen of it here; other workers want to know. */
  onEjection(server: LiveServer, out: boolean, cause: string): void
}

/** What the error of a connect says of the server. */
export function causeOf(code: string): FailureCause {
  if (code === 'ECONNREFUSED') return 'refused'
  return code === 'timeout' || code === 'ETIMEDOUT' ? 'timeout' : 'unreachable'
}

export class ServerWatch {
  private readonly connectMs: number
  private readonly host: WatchHost
  /** A silent server takes no connection any more. */
  private readonly onVanished: (server: LiveServer) => void

  constructor(connectMs: number, host: WatchHost, onVanished: (server: LiveServer) => void) {
    this.connectMs = connectMs
    this.host = host
    this.onVanished = onVanished
  }

  /** A connection to it broke, `why` as the connection said. A stream that a peer gave up says nothing of the peer. */
  brokeOff(server: LiveServer, why: string): void {
    if (why !== STREAM_RESET) this.failed(server, 'reset')
  }

  failed(server: LiveServer, cause: FailureCause): void {
    if (!noteFailure(server, performance.now(), cause)) return
    if (cause !== 'reset') server.closeIdle()
    this.host.onEjection(server, true, cause)
  }

  /** An ejected server is let in again by a connect of ours, not by somebody's request. */
  probeIfDue(server: LiveServer, nowMs: number): void {
    if (!dueForProbe(server, nowMs)) return
    noteProbeStarted(server, nowMs)
    probeConnect(server.host, server.port, this.connectMs, code => {
      const ok = code === ''
      if (!ok) server.nextAddress(server.address)
      noteProbe(server, ok, performance.now(), causeOf(code))
      if (ok) this.host.onEjection(server, false, 'probe')
    })
  }

  /** A silent server: does it still take connections? One connect at a time. */
  checkSilence(server: LiveServer): void {
    if (server.checkingSilence) return
    server.checkingSilence = true
    probeConnect(server.host, server.port, this.connectMs, code => {
      server.checkingSilence = false
      if (code === '') return
      if (noteFailure(server, performance.now(), 'silence')) this.host.onEjection(server, true, 'silence')
      this.onVanished(server)
    })
  }
}
