// One server of a service as a data worker sees it: the plain fields that balancing, health and ejection read and write on every request.
// It outlives snapshots: a new snapshot reuses the object (with its connections and its history) when id, scheme, host and port are the same.

import type { Server } from '../config/model.ts'

export class UpstreamServer {
  readonly id: string
  readonly scheme: 'http' | 'https'
  readonly host: string
  readonly port: number
  weight: number
  draining: boolean
  node: string
  /** Verdict of active health checks; true until one says otherwise. */
  healthy = true
  /** Requests under way through this worker. */
  inFlight = 0
  /** Passive ejection: monotonic ms (performance.now) until which it gets no request; 0 when in. See ejection.ts. */
  ejectedUntilMs = 0
  /** Ejections in a row; sets the length of the next. */
  ejections = 0
  /** Connect failures and resets since the last success. */
  failures = 0
  /** Exponentially weighted mean time to the response head, ms; 0 before the first answer. */
  latencyMs = 0
  /** Scratch of smooth weighted round robin. */
  currentWeight = 0
  /** Opaque value of the sticky cookie; '' until sticky-cookie.ts has computed it. */
  cookieValue = ''

  constructor(server: Server) {
    this.id = server.id
    this.scheme = server.scheme
    this.host = server.host
    this.port = server.port
    this.weight = server.weight
    this.draining = server.state === 'draining'
    this.node = server.node
  }
}
