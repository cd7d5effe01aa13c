// The request side of relaying: the head that a peer receives, and how long the body is kept. Until the peer confirms that it has sent
// the request to a server, the body is buffered, whatever the method, so that the request can still go elsewhere.

import type { Exchange } from '../forward/exchange.ts'
import { requestHead } from '../http1/write-head.ts'
import { NO_BODY } from '../message/framing.ts'
import { relayFields } from '../message/relay-field.ts'

/** Builds the request head for a peer. */
export function relayedHead(x: Exchange): string {
  x.relayUnconfirmed = x.bodyFraming !== NO_BODY
  const host = x.serverHost ? 'server' : x.sendHost === null && x.req.hostField < 0 ? 'none' : 'client'
  return requestHead(x, x.downstream.forwardedFields(x), relayFields(x.service!.relayName, host))
}

/** The peer has received `bufferBytes` of the body, the most that is kept, and has not confirmed that it sent them to a server. */
export function awaitsRelayConfirmation(x: Exchange, bufferBytes: number): boolean {
  return x.relayUnconfirmed && x.heldBytes >= bufferBytes
}
