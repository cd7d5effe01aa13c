// What a peer's request says of itself, and nothing more: no routing, no middlewares and no forwarded fields, which are the
// sender's work; only the service whose server is to be chosen. Believed because the connection proved the cluster's key.

import type { Exchange } from '../forward/exchange.ts'
import { FORWARDED_FOR, ID, STRIDE } from '../message/fields.ts'
import type { Forwarded } from '../message/forwarded-headers.ts'
import { parseRelay } from '../message/relay-field.ts'
import type { WorkerContext } from '../worker-context.ts'

/** @returns 0, or the status to answer with (400, 503); `x.req.problem` then says why */
export function admitRelayed(context: WorkerContext, x: Exchange): number {
  const { req } = x
  x.fromPeer = true
  const relay = req.relayField < 0 ? null : parseRelay(req.value(req.relayField))
  if (relay === null) {
    req.problem = 'a relayed request without one Skein-Relay field that names a service'
    return 400
  }
  x.clientAddress = lastForwardedFor(x)
  x.service = context.runtime.services.get(relay.service) ?? null
  if (x.service === null) {
    req.problem = `service ${relay.service.slice(0, 100)}, which a peer asks for, is not known here`
    return 503
  }
  x.serverHost = relay.host === 'server'
  if (relay.host === 'none') x.sendHost = ''
  return 0
}

/** The client as its replica saw it: the last of X-Forwarded-For. Balancing by address needs it. */
function lastForwardedFor(x: Exchange): string {
  const { req } = x
  for (let n = req.count - 1; n >= 0; n--) {
    if (req.at[n * STRIDE + ID] !== FORWARDED_FOR) continue
    const value = req.value(n)
    return value.slice(value.lastIndexOf(',') + 1).trim()
  }
  return ''
}

/** For connections of peers: what they send is complete. */
export function relayForwarded(address: string): Forwarded {
  return { address, lines: () => '' }
}
