// What is different about a request that goes to a peer: its head names the service, and until the peer has sent it on, its body
// is held, whatever the method, so that it can still go elsewhere.

import type { Exchange } from '../forward/exchange.ts'
import { requestHead } from '../http1/write-head.ts'
import { NO_BODY } from '../message/framing.ts'
import { relayLine } from '../message/relay-field.ts'

/** The head as a peer gets it. */
export function relayedHead(x: Exchange): string {
  x.relayUnconfirmed = x.bodyFraming !== NO_BODY
  const host = x.serverHost ? 'server' : x.sendHost === null && x.req.hostField < 0 ? 'none' : 'client'
  return requestHead(x, x.downstream.forwardedLines(x), relayLine(x.service!.relayName, host))
}

/** As much of the body as may be held (`bufferBytes`) is at a peer that has not said yet whether it has sent it on. */
export function awaitsRelayConfirmation(x: Exchange, bufferBytes: number): boolean {
  return x.relayUnconfirmed && x.heldBytes >= bufferBytes
}
