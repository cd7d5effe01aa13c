// Admission of a request that a peer relays: reads only its Skein-Relay field, which names the service. Routing, middlewares and
// forwarded fields were applied by the sender. The field is trusted because the connection proved the cluster's key.

import type { Exchange } from '../forward/exchange.ts'
import { NO_FIELDS } from '../message/field-list.ts'
import { FORWARDED_FOR, ID, STRIDE } from '../message/fields.ts'
import type { Forwarded } from '../message/forwarded-headers.ts'
import { parseRelay } from '../message/relay-field.ts'
import type { AdmissionContext } from '../routing/admission.ts'

/** @returns 0, or the status to answer with (400, 503); `x.req.problem` then says why */
export function admitRelayed(context: AdmissionContext, x: Exchange): number {
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
    req.problem = `a peer relayed a request for service ${relay.service.slice(0, 100)}, which is not configured here`
    return 503
  }
  // The sender may be of a newer version. A 503 without a server states that nothing was sent, so it asks another peer.
  if (x.service.missingFeature !== null) {
    req.problem = `a peer relayed a request for service ${x.service.name}: this version of Skein has no feature '${x.service.missingFeature}'`
    return 503
  }
  x.serverHost = relay.host === 'server'
  if (relay.host === 'none') x.sendHost = ''
  return 0
}

/** The client address as the sender recorded it: the last entry of X-Forwarded-For. Balancing by address uses it. */
function lastForwardedFor(x: Exchange): string {
  const { req } = x
  for (let n = req.count - 1; n >= 0; n--) {
    if (req.at[n * STRIDE + ID] !== FORWARDED_FOR) continue
    const value = req.value(n)
    return value.slice(value.lastIndexOf(',') + 1).trim()
  }
  return ''
}

/** Forwarded fields of a peer connection: none, because the sender has added them. */
export function relayForwarded(address: string): Forwarded {
  return { address, fields: () => NO_FIELDS }
}
