// The bodies of an exchange whose router has middlewares with body sinks. All other exchanges have none of these objects.
// A filtered body has no length that is known in advance: Content-Length is removed, and the codec frames the content anew.

import type { BodySink } from '../../middlewares/body-sink.ts'
import type { MiddlewareChain } from '../../middlewares/chain.ts'
import { BY_CHUNKS, BY_CLOSE, type Framing, NO_BODY } from '../message/framing.ts'
import type { Head } from '../message/head.ts'
import { viewOf } from '../routing/response-views.ts'
import type { BodyFilter, Exchange } from './exchange.ts'

export interface FilterHost {
  /** Content of the request as the server gets it. @returns false while the server takes no more: the client is paused */
  sendBody(x: Exchange, content: Buffer): boolean
  sendBodyEnd(x: Exchange): void
  /** A middleware failed within a body: ends the exchange. */
  onFilterFailed(x: Exchange, error: Error): void
}

/**
 * The way of one body through the middlewares. After a failure it discards content. A failure after the end of the exchange, whose
 * object may serve the next request already, is ignored.
 */
class ChainFilter implements BodyFilter {
  private readonly host: FilterHost
  private readonly x: Exchange
  private readonly sink: BodySink
  private readonly generation: number
  private failed = false
  private ended = false

  constructor(host: FilterHost, x: Exchange, sink: BodySink) {
    this.host = host
    this.x = x
    this.sink = sink
    this.generation = x.generation
  }

  /** @returns as BodySink.write */
  write(content: Buffer): boolean {
    if (this.failed) return true
    try {
      return this.sink.write(content)
    } catch (error) {
      this.fail(error as Error)
      return true
    }
  }

  /** A second call does nothing. @returns false if a middleware failed: the exchange is over */
  end(): boolean {
    if (this.failed || this.ended) return !this.failed
    this.ended = true
    try {
      this.sink.end()
    } catch (error) {
      this.fail(error as Error)
    }
    return !this.failed
  }

  private fail(error: Error): void {
    this.failed = true
    const { x } = this
    if (x.active && x.generation === this.generation) this.host.onFilterFailed(x, error)
  }
}

/**
 * Puts the sinks in front of the server. What was read of the body while a middleware waited passes them, too; if a sink fails on it,
 * the exchange is over. Throws what a middleware throws when it is asked for its sink.
 */
export function filterRequest(host: FilterHost, chain: MiddlewareChain, x: Exchange): void {
  const last: BodySink = {
    write: content => host.sendBody(x, content),
    end: () => host.sendBodyEnd(x),
  }
  let sink = last
  for (let i = chain.all.length - 1; i >= 0; i--) sink = chain.all[i]!.requestBody?.(x, sink) ?? sink
  if (sink === last) return
  const filter = new ChainFilter(host, x, sink)
  x.requestFilter = filter
  x.req.drop('content-length')
  x.body.framing = BY_CHUNKS
  const { held } = x.body
  x.body.held = null
  x.body.heldBytes = 0
  if (held !== null) for (const content of held) filter.write(content)
  if (x.body.done) filter.end()
}

/** Puts the sinks in front of the client. @returns the framing for the client's codec */
export function filterResponse(host: FilterHost, chain: MiddlewareChain, x: Exchange, head: Head, framing: Framing): Framing {
  if (framing === NO_BODY && x.method !== 'HEAD') return framing
  const last: BodySink = { write: content => x.downstream.onBody(x, content, 0, content.length), end: () => {} }
  const view = viewOf(x, head)
  let sink = last
  for (const middleware of chain.all) sink = middleware.responseBody?.(x, view, sink) ?? sink
  if (sink === last) return framing
  head.drop('content-length')
  if (framing === NO_BODY) return framing
  x.responseFilter = new ChainFilter(host, x, sink)
  return BY_CLOSE
}
