// The request's body: how its end is known, whether it has arrived, and the part of it that is kept for another attempt. Content and
// end are reported by the downstream codec; what is kept is decided by the forwarder.

import { type FieldList, NO_FIELDS } from '../message/field-list.ts'
import { type Framing, NO_BODY } from '../message/framing.ts'

export class BodyBuffer {
  framing: Framing = NO_BODY
  /** The whole body has arrived. */
  done = false
  /** The trailer section, once `done`. Written by the codec. */
  trailers: FieldList = NO_FIELDS
  /** Kept content; null: none. */
  held: Buffer[] | null = null
  heldBytes = 0
  /** Everything that has arrived is in `held`: the request can be sent again. */
  holding = false

  begin(framing: Framing): void {
    this.framing = framing
    this.done = framing === NO_BODY
    this.trailers = NO_FIELDS
    this.held = null
    this.heldBytes = 0
    this.holding = true
  }

  /** Keeps content that has just arrived. */
  hold(data: Buffer): void {
    if (this.held === null) this.held = [data]
    else this.held.push(data)
    this.heldBytes += data.length
  }

  /** Content is not kept any more: the request cannot be sent again. */
  release(): void {
    this.holding = false
    this.held = null
  }
}
