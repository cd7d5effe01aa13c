// Messages as they are carried: encoded, decoded and checked by the codec of the real thing. What a core says must pass it;
// with it a member also never shares an object with another.

import type { Message } from '../../cluster/core/state.ts'
import { decode, encode } from '../../cluster/protocol.ts'
import { Violation } from './invariants.ts'

const CLUSTER = 'simulated'

/** A fresh carrier; its envelopes are numbered. */
export function throughCodec(): (message: Message) => Message {
  let n = 0
  return message => {
    const decoded = decode(encode({ v: 1, cluster: CLUSTER, n: ++n, message }), { cluster: CLUSTER })
    if (!decoded.ok) throw new Violation('what a member says can be read by the others', 'a member', decoded.message)
    return decoded.envelope.message
  }
}

/** The same object for all: fast, and fair as long as nobody changes it. */
export function asIs(message: Message): Message {
  return message
}
