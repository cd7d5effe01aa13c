// An upstream server with its connections in this worker: idle ones to reuse, busy ones to find when the server turns out to have
// vanished.

import type { Server } from '../../config/model.ts'
import type { ByteStream } from '../byte-stream.ts'
import type { UpstreamConnection } from '../http1/upstream-connection.ts'
import { StrayBodies } from './stray-bodies.ts'
import { UpstreamServer } from './upstream-server.ts'

/** Idle connections kept per server and worker. */
const MAX_IDLE = 256

export class LiveServer extends UpstreamServer {
  /** Last in, first out: the least idle is reused first, so that the surplus grows old and is closed. */
  readonly idle: UpstreamConnection[] = []
  readonly busy: UpstreamConnection[] = []
  /** No longer part of the configuration: connections are closed as they fall idle. */
  gone = false
  /** A connect is under way to find out whether it is there. */
  checking = false

  /** Name of the service it belongs to, for reports. */
  readonly service: string
  /** Which of several addresses `host` and `port` are. */
  address = 0
  /** Bodies that it has sent behind heads that have none: of answers to HEAD, and of 204 and 304. */
  readonly straysAfterHead = new StrayBodies()
  readonly straysAfterStatus = new StrayBodies()
  /** Added to the time in which an answer must begin, ms. */
  answerGraceMs = 0

  constructor(server: Server, service: string) {
    super(server)
    this.service = service
  }

  /** True for a peer (relay/): then a connection is what openStream gives. */
  get isPeer(): boolean {
    return false
  }

  /** A stream to a peer; a server is connected to by its own socket. */
  openStream(): ByteStream {
    throw new Error('a server has no streams')
  }

  /** A connection stands. */
  noteConnected(): void {}

  /** A connect to that address failed: true if there is another one to try. A server has one. */
  nextAddress(_address: number): boolean {
    return false
  }

  /** Host and port as a Host field would name it. */
  get authority(): string {
    const host = this.host.includes(':') ? `[${this.host}]` : this.host
    return this.port === (this.scheme === 'https' ? 443 : 80) ? host : `${host}:${this.port}`
  }

  /** The identity under which a new snapshot finds an old server again. */
  static key(server: Pick<Server, 'id' | 'scheme' | 'host' | 'port'>): string {
    return `${server.id} ${server.scheme} ${server.host} ${server.port}`
  }

  /** Takes over what may change without the server becoming another one. */
  update(server: Server): void {
    this.weight = server.weight
    this.node = server.node
    const draining = server.state === 'draining'
    if (draining && !this.draining) this.closeIdle()
    this.draining = draining
  }

  retire(): void {
    this.gone = true
    this.closeIdle()
  }

  closeIdle(): void {
    for (const connection of this.idle.splice(0)) connection.destroy()
  }

  addBusy(connection: UpstreamConnection): void {
    connection.busyIndex = this.busy.length
    this.busy.push(connection)
    this.inFlight++
  }

  removeBusy(connection: UpstreamConnection): void {
    const index = connection.busyIndex
    if (index < 0) return
    const last = this.busy.pop()!
    if (last !== connection) {
      this.busy[index] = last
      last.busyIndex = index
    }
    connection.busyIndex = -1
    this.inFlight--
  }

  /** @returns whether the connection was kept */
  keep(connection: UpstreamConnection): boolean {
    if (this.gone || this.draining || this.idle.length >= MAX_IDLE) return false
    this.idle.push(connection)
    return true
  }

  forget(connection: UpstreamConnection): void {
    const index = this.idle.lastIndexOf(connection)
    if (index >= 0) this.idle.splice(index, 1)
  }
}
