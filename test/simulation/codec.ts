// Passes messages through the real codec (encode, decode, validate): every message of a core must survive it, and members never
// share objects.

import type { Message } from '../../cluster/core/state.ts'
import { decode, encode } from '../../cluster/protocol.ts'
import { Violation } from './invariants.ts'

const CLUSTER = 'simulated'

/** A new sender; its envelopes are numbered. */
export function throughCodec(): (message: Message) => Message {
  let n = 0
  return message => {
    const decoded = decode(encode({ v: 1, cluster: CLUSTER, n: ++n, message }), { cluster: CLUSTER })
    if (!decoded.ok) throw new Violation('every message of a member can be decoded by the others', 'a member', decoded.message)
    return decoded.envelope.message
  }
}

/** Passes the object itself: faster, and valid as long as no receiver modifies it. */
export function asIs(message: Message): Message {
  return message
}
